"""Snapshots on disk: the same interactions come back, and damage does not."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from batch_models import registry, snapshots
from batch_models.dataset import Columns, Interactions, Row
from batch_models.shown_pages import NO_PAGES, ShownPage
from schemas.errors import ReelstreamError
from schemas.posts import decode_post
from schemas.users import User


def interactions(seed: int = 1, events: int = 250, pages: int = 0) -> Interactions:
    draw, columns = random.Random(seed), Columns()
    for at in range(events):
        kind = draw.choice(["view", "like", "rating"])
        columns.extend([Row(f"user{draw.randrange(9)}", draw.randrange(1, 40), kind, draw.random(), 1e9 + at / 3)])
    rows = [
        decode_post(b'{"id":%d,"title":"post %d","tags":["tag%d"],"category":{"name":"c"}}' % (post, post, post % 7))
        for post in range(1, 50, 2)
    ]
    shown = columns.pages()
    for number in reversed(range(pages)):
        posts = [draw.randrange(1, 60) for _ in range(number % 5)]
        shown.extend([ShownPage(f"user{draw.randrange(12)}", 1e9 + number, number % 3, posts)])
    users = [User(username="user3", bio="a")]
    return columns.interactions({post: post % 3 > 0 for post in range(1, 50)}, rows, users, shown)


def test_a_snapshot_comes_back_as_it_was_also_of_several_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(snapshots, "SHARD_ROWS", 100)
    before = interactions()
    path = snapshots.save(tmp_path, before)
    assert sorted(each.name for each in path.glob("*.parquet")) == [
        "events-00000.parquet", "events-00001.parquet", "events-00002.parquet", "posts.parquet",
        "users.parquet",
    ]  # fmt: skip
    again = snapshots.load(path)
    assert again.digest() == before.digest()
    assert again.user_count == before.user_count
    for name in ("users", "posts", "types", "values", "at", "post_ids", "servable"):
        assert getattr(again, name).dtype == getattr(before, name).dtype
        assert np.array_equal(getattr(again, name), getattr(before, name))
    for column, was in zip(again.facts, before.facts, strict=True):
        assert column.dtype == was.dtype
        assert np.array_equal(column, was)
    assert before.content.users.any()
    assert np.array_equal(again.content.users, before.content.users)
    for mine, its in zip(again.content.posts, before.content.posts, strict=True):
        assert mine.dtype == its.dtype
        assert np.array_equal(mine, its)


def test_pages_come_back_and_a_snapshot_of_before_there_were_any_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(snapshots, "SHARD_PAGES", 20)
    before = interactions(pages=80)
    assert 40 < len(before.pages.at) < 80
    assert before.pages.at[-1] <= before.at[-1]
    path = snapshots.save(tmp_path, before)
    assert len([*path.glob("pages-*.parquet")]) > 2
    for mine, its in zip(snapshots.load(path).pages, before.pages, strict=True):
        assert mine.dtype == its.dtype
        assert np.array_equal(mine, its)

    without = snapshots.save(tmp_path, interactions())
    assert without != path
    manifest = without / "snapshot.json"
    assert b',"page_shards":0' in manifest.read_bytes()
    manifest.write_bytes(manifest.read_bytes().replace(b',"page_shards":0', b""))
    assert snapshots.load(without).pages is NO_PAGES


def test_as_many_pages_are_kept_as_memory_has_room_for_the_newest_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    every = interactions(pages=80).pages
    monkeypatch.setattr("batch_models.shown_pages.LEAST_SHOWN", 30)
    monkeypatch.setattr("batch_models.shown_pages.SHOWN_AN_EVENT", 0)
    few = interactions(pages=80).pages
    assert 30 <= len(few.posts) < 35
    assert few.at.tolist() == every.at[-len(few.at) :].tolist()


def test_no_name_is_in_any_file_of_it(tmp_path: Path) -> None:
    path = snapshots.save(tmp_path, interactions(pages=80))
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


@pytest.mark.parametrize("file", ["events-00000.parquet", "pages-00000.parquet", "posts.parquet", "snapshot.json"])
def test_damage_is_refused(tmp_path: Path, file: str) -> None:
    """Wherever it is, but where it changes nothing that is learnt from: Parquet has statistics beside that."""
    before, refused = interactions(pages=80), list[str]()
    path = snapshots.save(tmp_path, before)
    content = (path / file).read_bytes()
    for place in range(0, len(content), max(len(content) // 20, 1)):
        flipped = bytearray(content)
        flipped[place] ^= 1
        (path / file).write_bytes(flipped)
        try:
            assert snapshots.load(path).digest() == before.digest()
        except ReelstreamError as error:
            refused.append(str(error))
    assert len(refused) > 3
    assert all(re.search(r"is damaged|is no snapshot", reason) for reason in refused)


def test_what_is_no_snapshot_says_what_there_is(tmp_path: Path) -> None:
    path = snapshots.save(tmp_path, interactions())
    with pytest.raises(ReelstreamError, match=path.name):
        snapshots.load(path.with_name("other"))
