"""Export: interactions of the record into a file, in time order, as the contract has them; so it can be imported."""

import gzip
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import msgspec

from schemas.errors import ReelstreamError, ServiceUnavailable

CHUNK = 10_000
_FIELDS = "event_id, username, post_id, interaction_type, interaction_value, occurred_at, recommendation_id, session_id"
_QUERY = f"""
SELECT {_FIELDS}, source FROM interactions
WHERE occurred_at >= coalesce($1, '-infinity'::timestamptz) AND occurred_at < coalesce($2, 'infinity'::timestamptz)
ORDER BY occurred_at, log_partition, log_number, log_offset, log_index
"""  # noqa: S608


class _Writer(Protocol):
    def write(self, rows: list[dict[str, Any]]) -> None: ...


async def export_interactions(
    path: Path, database_url: str, since: datetime | None, until: datetime | None, tell: Callable[[int], None]
) -> int:
    """Writes what happened from `since` on and before `until`; returns how many rows.

    The file appears when it is whole; by its name it is .jsonl, .jsonl.gz or .parquet. Raises ReelstreamError,
    ServiceUnavailable.
    """
    making, written = path.with_name(f".{path.name}.new"), 0
    try:
        connection = await asyncpg.connect(database_url, timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ServiceUnavailable(f"PostgreSQL (DATABASE_URL) does not answer: {error}") from error
    try:
        with ExitStack() as stack:
            writer = _writer(path.name, making, stack)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                cursor = await connection.cursor(_QUERY, since, until)
                while rows := await cursor.fetch(CHUNK):
                    writer.write([_as_message(row) for row in rows])
                    written += len(rows)
                    tell(written)
        making.rename(path)
    except OSError as error:
        raise ReelstreamError(f"{path} can't be written: {error}.") from error
    finally:
        making.unlink(missing_ok=True)
        connection.terminate()
    return written


def _as_message(row: Any) -> dict[str, Any]:
    """Views and ratings that were taken back have a value that only the record has (schemas.events.TAKEN_BACK)."""
    message = dict(row)
    message["take_back"] = message["interaction_value"] < 0
    if message["take_back"]:
        message["interaction_value"] = None
    return message


class _Jsonl:
    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)


class _Parquet:
    def __init__(self, path: Path, stack: ExitStack) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet

        text, number = pa.string(), pa.int64()
        types = {"post_id": number, "interaction_value": pa.float64(), "take_back": pa.bool_()}
        types["occurred_at"] = pa.timestamp("us", tz="UTC")
        names = [*(f"{_FIELDS}, source".split(", ")), "take_back"]
        self._pa, self._schema = pa, pa.schema([(name, types.get(name, text)) for name in names])
        self._writer = stack.enter_context(parquet.ParquetWriter(path, self._schema, compression="zstd"))

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._writer.write_table(self._pa.Table.from_pylist(rows, schema=self._schema))


def _writer(name: str, making: Path, stack: ExitStack) -> _Writer:
    if name.endswith(".parquet"):
        try:
            return _Parquet(making, stack)
        except ImportError:
            raise ReelstreamError("Parquet needs one more package: pip install 'reelstream[evaluate]'") from None
    if name.endswith(".jsonl.gz"):
        return _Jsonl(stack.enter_context(gzip.open(making, "wb", compresslevel=3)))
    if name.endswith(".jsonl"):
        return _Jsonl(stack.enter_context(making.open("wb")))
    raise ReelstreamError(f"{name}: allowed are .jsonl, .jsonl.gz and .parquet.")
