"""Snapshots on disk: what a training learnt from, so that it can be repeated.

MODEL_PATH/snapshots/<time>-<digest>/ with `events-00000.parquet` and so on, SHARD_ROWS interactions each in time order,
`pages-00000.parquet` and so on where users were shown any, SHARD_PAGES each, `posts.parquet` and `users.parquet` with
the tokens of their rows, and `snapshot.json`, which is written last. Users are numbers: no name is kept that would have
to go.
"""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from online_models.content_tokens import LABELS, NAMES, PROFILE, TEXT, PostTokens, Tokens
from online_models.post_table import TAGS
from schemas.errors import ReelstreamError

from .dataset import Content, Interactions
from .post_facts import Facts
from .shown_pages import NO_PAGES, Pages

FOLDER = "snapshots"
SHARD_ROWS = 1_000_000
"""25 MB before compression."""
SHARD_PAGES = 100_000
"""10 MB before compression, with 20 posts each."""
KEEP = 2
"""The newest ones: 10 bytes an interaction each."""
_UNFINISHED = ".unfinished-"
_WIDTHS = {"text": TEXT, "labels": LABELS, "names": NAMES}
_EVENTS = ("users", "posts", "types", "values", "at")


class Manifest(msgspec.Struct, kw_only=True):
    """digest: Interactions.digest of what the shards hold. page_shards: none in snapshots of before there were any."""

    digest: str
    events: int
    users: int
    shards: int
    page_shards: int = 0


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
    page_starts = range(0, len(found.pages.at), SHARD_PAGES)
    for number, start in enumerate(page_starts):
        pages = _table(found.pages.part(start, start + SHARD_PAGES))
        pq.write_table(pages, unfinished / f"pages-{number:05}.parquet", compression="zstd")
    tags = pa.FixedSizeListArray.from_arrays(pa.array(found.facts.tags.ravel()), TAGS)
    facts = {"authors": found.facts.authors, "tags": tags, "created_at": found.facts.created_at}
    tokens = {f"token_{name}": _rows(column) for name, column in found.content.posts._asdict().items()}
    posts = {"post_ids": found.post_ids, "servable": found.servable, **facts, **tokens}
    pq.write_table(pa.table(posts), unfinished / "posts.parquet", compression="zstd")
    pq.write_table(pa.table({"profile": _rows(found.content.users)}), unfinished / "users.parquet", compression="zstd")
    manifest = Manifest(
        digest=digest, events=len(found), users=found.user_count, shards=len(starts), page_shards=len(page_starts)
    )  # fmt: skip
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
        shown = [pq.read_table(path / f"pages-{number:05}.parquet") for number in range(manifest.page_shards)]
        posts = pq.read_table(path / "posts.parquet")
        users = pq.read_table(path / "users.parquet")
        columns = {name: _column(shards, name) for name in _EVENTS}
        tags = np.asarray(posts["tags"].combine_chunks().flatten()).reshape(-1, TAGS)
        tokens = PostTokens(*(_matrix(posts[f"token_{name}"], width) for name, width in _WIDTHS.items()))
        found = Interactions(
            **columns, post_ids=_column([posts], "post_ids"), servable=_column([posts], "servable"),
            facts=Facts(_column([posts], "authors"), tags, _column([posts], "created_at")), user_count=manifest.users,
            content=Content(tokens, _matrix(users["profile"], PROFILE)), pages=_pages(shown),
        )  # fmt: skip
    except (OSError, msgspec.MsgspecError, pa.ArrowException, AttributeError, KeyError, ValueError) as error:
        there = ", ".join(each.name for each in saved(path.parent.parent)) or "none"
        raise ReelstreamError(f"{path} is no snapshot: {error}. There is, beside it: {there}.") from None
    if found.digest() != manifest.digest:
        raise ReelstreamError(f"{path} is damaged: it is not what its snapshot.json says; take another, or train anew")
    return found


def _table(pages: Pages) -> pa.Table:
    offsets = np.concatenate([[0], np.cumsum(pages.counts)]).astype(np.int32)
    posts = pa.ListArray.from_arrays(pa.array(offsets), pa.array(pages.posts))
    return pa.table({"users": pages.users, "at": pages.at, "positions": pages.positions, "posts": posts})


def _pages(tables: list[pa.Table]) -> Pages:
    if not tables:
        return NO_PAGES
    lists = [chunk for table in tables for chunk in table["posts"].chunks]
    counts = np.concatenate([np.asarray(each.value_lengths()) for each in lists])
    posts = np.concatenate([np.asarray(each.flatten()) for each in lists])
    return Pages(_column(tables, "users"), _column(tables, "at"), _column(tables, "positions"), counts, posts)


def _column(tables: list[pa.Table], name: str) -> np.ndarray:
    return np.concatenate([np.asarray(table[name]) for table in tables]) if tables else np.empty(0)


def _rows(matrix: Tokens) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])


def _matrix(column: pa.ChunkedArray, width: int) -> Tokens:
    """Raises ValueError for another width."""
    flat = [np.asarray(chunk.flatten(), np.uint16) for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.uint16), *flat]).reshape(-1, width)
