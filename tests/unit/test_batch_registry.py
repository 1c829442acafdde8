"""The registry on disk: versions whole or not there, digests, and how many are kept."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import structlog
from saved_versions import save_version
from typer.testing import CliRunner

from batch_models import registry
from batch_models.refresh import run
from reelstream.cli import app
from schemas.errors import ReelstreamError
from schemas.models import ModelVersion, chunks_digest
from schemas.settings import Settings


def card(version: str) -> registry.Card:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return registry.Card(
        version=ModelVersion(model="svd", version=version, created_at=0.0, dim=2, items=1, chunks=1, metrics={}),
        digest="d", trained_on="everything", first_event_at=now, last_event_at=now, split_at=now, events=1, users=1,
        choice={}, settings={}, evaluated_users=1, seconds=0.5,
    )  # fmt: skip


def test_a_version_is_vectors_without_pickle_and_a_card_that_names_their_digest(tmp_path: Path) -> None:
    ids, vectors = np.array([3, 9]), np.array([[1, 2], [3, 4]], np.float32)
    content, digest = registry.pack(ids, vectors)
    folder = registry.save(tmp_path, card("v1"), content)
    read = np.load(folder / "vectors.npz", allow_pickle=False)
    assert np.array_equal(read["ids"], ids)
    assert np.array_equal(read["vectors"], vectors)
    assert hashlib.sha256((folder / "vectors.npz").read_bytes()).hexdigest() == digest
    assert json.loads((folder / "card.json").read_text())["version"]["version"] == "v1"


def test_the_newest_three_are_kept_and_what_a_killed_training_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "svd" / ".unfinished-v0").mkdir(parents=True)
    for version in ("v1", "v2", "v3", "v4"):
        registry.save(tmp_path, card(version), b"")
    assert sorted(path.name for path in (tmp_path / "svd").iterdir()) == ["v2", "v3", "v4"]


def test_version_ids_sort_by_time() -> None:
    early = registry.version_id(datetime(2026, 11, 9, tzinfo=UTC), "f" * 64)
    late = registry.version_id(datetime(2026, 11, 23, 8, 42, 29, 123_456, tzinfo=UTC), "1a2b3c4d5e")
    assert late == "20261123T084229123Z-1a2b3c4d"
    assert early < late


def test_a_name_that_is_no_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ReelstreamError, match=r"sdv: no such model\. There is: svd"):
        run(Settings(_env_file=None), ["sdv"], None)


DAYS = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3)]


@pytest.fixture
def saved(tmp_path: Path) -> list[str]:
    """Three versions of a model, oldest first."""
    vectors = np.ones((2, 2), np.float32)
    return [save_version(tmp_path, np.array([3, 9]), vectors, made).version for made in DAYS]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_anywhere_in_the_vectors_is_refused_and_the_former_version_is_taken(
    tmp_path: Path, saved: list[str]
) -> None:
    path = tmp_path / "svd" / saved[-1] / "vectors.npz"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ReelstreamError, match="is damaged"):
            registry.load(tmp_path, "svd", saved[-1])
    found = registry.newest(tmp_path, "svd")
    assert found is not None
    assert found[0].version == saved[1]
    assert chunks_digest(found[1]) == found[0].digest


def test_versions_before_and_up_to_one_are_found_and_all_damaged_is_an_error(tmp_path: Path, saved: list[str]) -> None:
    assert registry.newest(tmp_path, "svd", before=saved[2])[0].version == saved[1]  # type: ignore[index]
    assert registry.newest(tmp_path, "svd", upto=saved[1])[0].version == saved[1]  # type: ignore[index]
    assert registry.newest(tmp_path, "svd", before=saved[0]) is None
    assert registry.newest(tmp_path, "other") is None
    for version in saved:
        flip(tmp_path / "svd" / version / "vectors.npz")
    with pytest.raises(ReelstreamError, match="is damaged"):
        registry.newest(tmp_path, "svd")


@pytest.mark.parametrize("damage", ["{", "another card", "no vectors"])
def test_a_version_whose_files_are_not_its_own_is_damaged(tmp_path: Path, saved: list[str], damage: str) -> None:
    folder = tmp_path / "svd" / saved[2]
    if damage == "no vectors":
        (folder / "vectors.npz").unlink()
    else:
        other = (tmp_path / "svd" / saved[0] / "card.json").read_text()
        (folder / "card.json").write_text(other if damage == "another card" else damage)
    with pytest.raises(ReelstreamError, match="roll back or train again"):
        registry.load(tmp_path, "svd", saved[2])


def test_what_serves_is_remembered_as_long_as_it_is_saved(tmp_path: Path, saved: list[str]) -> None:
    assert registry.serving(tmp_path, "svd") is None
    registry.set_serving(tmp_path, "svd", saved[1])
    assert registry.serving(tmp_path, "svd") == saved[1]
    registry.set_serving(tmp_path, "svd", "gone")
    assert registry.serving(tmp_path, "svd") is None
    assert registry.versions(tmp_path, "svd") == saved


def models(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["models", *arguments, "--data", str(tmp_path / "none")])
    structlog.reset_defaults()
    return result.exit_code, result.stdout if result.exception is None else str(result.exception)


def test_versions_are_listed_and_shown_with_what_serves_and_what_is_damaged(
    tmp_path: Path, saved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_PATH", str(tmp_path))
    registry.set_serving(tmp_path, "svd", saved[1])
    flip(tmp_path / "svd" / saved[2] / "vectors.npz")
    lines = models(tmp_path, "list")[1].splitlines()
    assert all(version in line for version, line in zip(saved, lines, strict=True))
    assert [line.startswith("serves") for line in lines] == [False, True, False]
    assert "recall@10 0.200 (popularity 0.100)" in lines[0]
    assert "is damaged" in lines[2]
    rows = [json.loads(line) for line in models(tmp_path, "list", "--json")[1].splitlines()]
    assert [(row["serves"], row["damaged"] is not None) for row in rows] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    assert json.loads(models(tmp_path, "show", "svd")[1])["version"]["version"] == saved[1]
    assert "There is: " + saved[0] in models(tmp_path, "show", "svd", "v9")[1]
    assert "No version of 'sdv' serves. There is: svd" in models(tmp_path, "show", "sdv")[1]
    assert "svd has no version 'v9'" in models(tmp_path, "rollback", "svd", "v9")[1]


def test_an_empty_registry_says_what_makes_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PATH", str(tmp_path))
    assert "`reelstream train` makes one" in models(tmp_path, "list")[1]
    assert "Say which model to roll back. There is: none" in models(tmp_path, "rollback")[1]
    assert "nothing to roll back to" in models(tmp_path, "rollback", "svd")[1]
