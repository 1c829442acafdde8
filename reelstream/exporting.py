"""Export: interactions, impressions or the history of trending of the record into a file, in time order, in chunks."""

import gzip
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from schemas.database import AWAY, connected, unavailable
from schemas.errors import ReelstreamError

CHUNK = 10_000
"""Rows; of impressions, which have lists of 20 and more, a tenth."""


class Exported(NamedTuple):
    """time: the column that --since and --until speak of. columns: names of the file → Parquet's types of them."""

    table: str
    time: str
    order: str
    columns: Mapping[str, str]
    chunk: int = CHUNK

    @property
    def query(self) -> str:
        names = ", ".join(f'"{name}"' for name in self.columns if name != "take_back")
        return (
            f"SELECT {names} FROM {self.table} WHERE {self.time} >= coalesce($1, '-infinity'::timestamptz) "  # noqa: S608
            f"AND {self.time} < coalesce($2, 'infinity'::timestamptz) ORDER BY {self.time}, {self.order}"
        )


EXPORTED = {
    "interactions": Exported(
        "interactions", "occurred_at", "log_partition, log_number, log_offset, log_index",
        {
            "event_id": "text", "username": "text", "post_id": "int", "interaction_type": "text",
            "interaction_value": "float", "occurred_at": "time", "recommendation_id": "text", "session_id": "text",
            "source": "text", "take_back": "bool",
        },
    ),
    "impressions": Exported(
        "impressions", "served_at", "recommendation_id",
        {
            "recommendation_id": "text", "username": "text", "session_id": "text", "served_at": "time",
            "position": "int", "posts": "ints", "scores": "floats", "propensities": "floats", "sources": "json",
            "features": "json", "algorithm_used": "text", "model_versions": "json", "variant": "text",
        },
        CHUNK // 10,
    ),
    "trending": Exported(
        "trending_history", "at", 'category, "window"',
        {
            "at": "time", "category": "text", "window": "text", "published_at": "time", "posts": "ints",
            "scores": "floats",
        },
    ),
}  # fmt: skip


class _Writer(Protocol):
    def write(self, rows: list[dict[str, Any]]) -> None: ...


async def export(
    what: Exported, path: Path, database_url: str, since: datetime | None, until: datetime | None,
    tell: Callable[[int], None],
) -> int:  # fmt: skip
    """Writes what happened from `since` on and before `until`; returns how many rows.

    The file appears when it is whole; by its name it is .jsonl, .jsonl.gz or .parquet. Raises ReelstreamError,
    ServiceUnavailable.
    """
    making, written = path.with_name(f".{path.name}.new"), 0
    try:
        async with connected(database_url, None) as connection:
            with ExitStack() as stack:
                writer = _writer(what, path.name, making, stack)
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    cursor = await connection.cursor(what.query, since, until)
                    while rows := await cursor.fetch(what.chunk):
                        writer.write([_as_message(row) for row in rows])
                        written += len(rows)
                        tell(written)
        making.rename(path)
    except AWAY as error:
        if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
            raise ReelstreamError(f"{path} can't be written: {error}.") from error
        raise unavailable(error) from error
    finally:
        making.unlink(missing_ok=True)
    return written


def _as_message(row: Any) -> dict[str, Any]:
    """Views and ratings that were taken back have a value that only the record has (schemas.events.TAKEN_BACK)."""
    message = dict(row)
    if "interaction_value" in message:
        message["take_back"] = message["interaction_value"] < 0
        if message["take_back"]:
            message["interaction_value"] = None
    return message


class _Jsonl:
    def __init__(self, file: Any, json: list[str]) -> None:
        self._file, self._json = file, json

    def write(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row.update((name, msgspec.Raw(row[name].encode())) for name in self._json if row[name] is not None)
        self._file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)


class _Parquet:
    """JSON as text."""

    def __init__(self, path: Path, columns: Mapping[str, str], stack: ExitStack) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet

        types = {
            "text": pa.string(), "json": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(),
            "time": pa.timestamp("us", tz="UTC"), "ints": pa.list_(pa.int64()), "floats": pa.list_(pa.float64()),
        }  # fmt: skip
        self._pa, self._schema = pa, pa.schema([(name, types[kind]) for name, kind in columns.items()])
        self._writer = stack.enter_context(parquet.ParquetWriter(path, self._schema, compression="zstd"))

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._writer.write_table(self._pa.Table.from_pylist(rows, schema=self._schema))


def _writer(what: Exported, name: str, making: Path, stack: ExitStack) -> _Writer:
    if name.endswith(".parquet"):
        try:
            return _Parquet(making, what.columns, stack)
        except ImportError:
            raise ReelstreamError("Parquet needs one more package: pip install 'reelstream[evaluate]'") from None
    json = [column for column, kind in what.columns.items() if kind == "json"]
    if name.endswith(".jsonl.gz"):
        return _Jsonl(stack.enter_context(gzip.open(making, "wb", compresslevel=3)), json)
    if name.endswith(".jsonl"):
        return _Jsonl(stack.enter_context(making.open("wb")), json)
    raise ReelstreamError(f"{name}: allowed are .jsonl, .jsonl.gz and .parquet.")
