"""The event-log agent: every interaction into PostgreSQL, once.

It has a consumer group of its own: while PostgreSQL is down, it alone waits. Events that a stranger put on the wrong
partition are left to their forwarded copy, so each row says where stage 1 applied it. Dead letters are stage 1's.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import asyncpg

from schemas.topics import INTERACTIONS, owner

from .partition_agent import PartitionAgent
from .reading import ReadEvent, forgotten_user, read_events
from .record import Record
from .record_mark import RecordMark
from .services import RecordServices

_COLUMNS = {
    "event_id": "text", "username": "text", "post_id": "int8", "interaction_type": "text",
    "interaction_value": "float8", "occurred_at": "timestamptz", "recommendation_id": "text", "session_id": "text",
    "source": "text", "log_number": "int4", "log_partition": "int2", "log_offset": "int8", "log_index": "int4",
}  # fmt: skip
_INSERT = (
    f"INSERT INTO interactions ({', '.join(_COLUMNS)}) SELECT * FROM unnest("  # noqa: S608
    + ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_COLUMNS.values(), 1))
    + ") ON CONFLICT (username, event_id) DO NOTHING"
)


class EventLogAgent(PartitionAgent[RecordMark, RecordServices]):
    """Idempotent by the primary key: a repeated event id inserts nothing. One writer a partition, by the mark."""

    async def _load(self, partition: int) -> RecordMark:
        services = self._services
        return await RecordMark.load(services.pool, INTERACTIONS, partition, services.log_ids[INTERACTIONS])

    async def _apply(self, shard: RecordMark, records: list[Record]) -> None:
        rows: list[tuple[Any, ...]] = []
        async with shard.moving(self._services.pool, records[-1].offset) as connection:
            for record in records:
                if (username := forgotten_user(record)) is None:
                    rows += self._rows(shard.number, record)
                    continue
                await _insert(connection, rows)
                rows = []
                await connection.execute("DELETE FROM interactions WHERE username = $1", username)
            await _insert(connection, rows)

    def _rows(self, log_number: int, record: Record) -> Iterable[tuple[Any, ...]]:
        for entry in read_events(record):
            if not isinstance(entry, ReadEvent):
                continue
            event = entry.interaction
            if owner(event.username, self._services.partitions) == record.partition:
                yield (
                    entry.event_id, event.username, event.post_id, event.interaction_type, event.interaction_value,
                    datetime.fromtimestamp(entry.at, UTC), event.recommendation_id, event.session_id, event.source,
                    log_number, record.partition, record.offset, entry.entry,
                )  # fmt: skip


async def _insert(connection: asyncpg.Connection, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        await connection.execute(_INSERT, *(list(column) for column in zip(*rows, strict=True)))
