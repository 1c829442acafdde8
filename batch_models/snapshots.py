"""Snapshots on disk: what a training learnt from, so that it can be repeated.

MODEL_PATH/snapshots/<time>-<digest>/ with `events-00000.parquet` and so on, SHARD_ROWS interactions each in time order,
`posts.parquet`, and `snapshot.json`, which is written last. Users are numbers: no name is kept that would have to go.
"""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from schemas.errors import ReelstreamError

from .dataset import Interactions

FOLDER = "snapshots"
SHARD_ROWS = 1_000_000
"""25 MB before compression."""
KEEP = 2
"""The newest ones: 10 bytes an interaction each."""
_UNFINISHED = ".unfinished-"
_EVENTS = ("users", "posts", "types", "values", "at")


class Manifest(msgspec.Struct, kw_only=True):
    """digest: Interactions.digest of what the shards hold."""

    digest: str
    events: int
    users: int
    shards: int


def save(model_path: Path, found: Interactions) -> Path:
    """Writes a snapshot, whole or not at all, and removes all but the newest KEEP. Returns its folder: the one that is
    there already when nothing changed."""
    digest, root = found.digest(), model_path / FOLDER
    for known in saved(model_path):
        if known.name.endswith(digest[:12]):
            return known
    path = root / f"{datetime.now(UTC):%Y%m%dT%H%M%S}Z-{digest[:12]}"
    unfinished = root / f"{_UNFINISHED}{path.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    starts = range(0, len(found), SHARD_ROWS)
    for number, start in enumerate(starts):
        rows = found.part(start, start + SHARD_ROWS)
        columns = {name: getattr(rows, name) for name in _EVENTS}
        pq.write_table(pa.table(columns), unfinished / f"events-{number:05}.parquet", compression="zstd")
    posts = {"post_ids": found.post_ids, "servable": found.servable}
    pq.write_table(pa.table(posts), unfinished / "posts.parquet", compression="zstd")
    manifest = Manifest(digest=digest, events=len(found), users=found.user_count, shards=len(starts))
    (unfinished / "snapshot.json").write_bytes(msgspec.json.encode(manifest))
    os.replace(unfinished, path)
    for old in saved(model_path)[:-KEEP]:
        shutil.rmtree(old)
    return path


def saved(model_path: Path) -> list[Path]:
    """Whole snapshots, oldest first."""
    return sorted(path.parent for path in (model_path / FOLDER).glob("[!.]*/snapshot.json"))


def load(path: Path) -> Interactions:
    """Raises ReelstreamError for what is no snapshot, or not what its snapshot.json says."""
    try:
        manifest = msgspec.json.decode((path / "snapshot.json").read_bytes(), type=Manifest)
        shards = [pq.read_table(path / f"events-{number:05}.parquet") for number in range(manifest.shards)]
        posts = pq.read_table(path / "posts.parquet")
        columns = {name: _column(shards, name) for name in _EVENTS}
        found = Interactions(
            **columns, post_ids=_column([posts], "post_ids"), servable=_column([posts], "servable"),
            user_count=manifest.users,
        )  # fmt: skip
    except (OSError, msgspec.MsgspecError, pa.ArrowException, KeyError) as error:
        there = ", ".join(each.name for each in saved(path.parent.parent)) or "none"
        raise ReelstreamError(f"{path} is no snapshot: {error}. There is, beside it: {there}.") from None
    if found.digest() != manifest.digest:
        raise ReelstreamError(f"{path} is damaged: it is not what its snapshot.json says; take another, or train anew")
    return found


def _column(tables: list[pa.Table], name: str) -> np.ndarray:
    return np.concatenate([np.asarray(table[name]) for table in tables]) if tables else np.empty(0)
