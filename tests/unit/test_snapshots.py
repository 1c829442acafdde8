"""Snapshots on disk: the same interactions come back, and damage does not."""

import random
from pathlib import Path

import numpy as np
import pytest

from batch_models import registry, snapshots
from batch_models.dataset import Columns, Interactions, Row
from schemas.errors import ReelstreamError


def interactions(seed: int = 1, events: int = 250) -> Interactions:
    draw, columns = random.Random(seed), Columns()
    for at in range(events):
        kind = draw.choice(["view", "like", "rating"])
        columns.extend([Row(f"user{draw.randrange(9)}", draw.randrange(1, 40), kind, draw.random(), 1e9 + at / 3)])
    return columns.interactions({post: post % 3 > 0 for post in range(1, 50)})


def test_a_snapshot_comes_back_as_it_was_also_of_several_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(snapshots, "SHARD_ROWS", 100)
    before = interactions()
    path = snapshots.save(tmp_path, before)
    assert sorted(each.name for each in path.glob("*.parquet")) == [
        "events-00000.parquet", "events-00001.parquet", "events-00002.parquet", "posts.parquet",
    ]  # fmt: skip
    again = snapshots.load(path)
    assert again.digest() == before.digest()
    assert again.user_count == before.user_count
    for name in ("users", "posts", "types", "values", "at", "post_ids", "servable"):
        assert getattr(again, name).dtype == getattr(before, name).dtype
        assert np.array_equal(getattr(again, name), getattr(before, name))


def test_no_name_is_in_any_file_of_it(tmp_path: Path) -> None:
    path = snapshots.save(tmp_path, interactions())
    assert not any(b"user3" in each.read_bytes() for each in path.iterdir())


def test_the_newest_are_kept_and_what_is_there_is_not_written_twice(tmp_path: Path) -> None:
    first = snapshots.save(tmp_path, interactions(1))
    assert snapshots.save(tmp_path, interactions(1)) == first
    paths = {first, *(snapshots.save(tmp_path, interactions(seed)) for seed in range(2, 5))}
    assert len(paths) == 4
    left = snapshots.saved(tmp_path)
    assert len(left) == snapshots.KEEP
    assert set(left) < paths
    assert registry.models(tmp_path) == []


@pytest.mark.parametrize("file", ["events-00000.parquet", "posts.parquet", "snapshot.json"])
def test_damage_is_refused(tmp_path: Path, file: str) -> None:
    path = snapshots.save(tmp_path, interactions())
    content = bytearray((path / file).read_bytes())
    content[len(content) // 2] ^= 1
    (path / file).write_bytes(content)
    with pytest.raises(ReelstreamError, match=r"is damaged|is no snapshot"):
        snapshots.load(path)


def test_what_is_no_snapshot_says_what_there_is(tmp_path: Path) -> None:
    path = snapshots.save(tmp_path, interactions())
    with pytest.raises(ReelstreamError, match=path.name):
        snapshots.load(path.with_name("other"))
