"""The registry on disk: versions whole or not there, digests, and how many are kept."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from batch_models import registry
from batch_models.refresh import run
from schemas.errors import ReelstreamError
from schemas.models import ModelVersion
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
