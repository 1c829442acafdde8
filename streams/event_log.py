"""The event-log agent: every interaction into PostgreSQL, once.

It has a consumer group of its own: while PostgreSQL is down, it alone waits. Events that a stranger put on the wrong
partition are left to their forwarded copy, so each row says where stage 1 applied it. Dead letters are stage 1's.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import asyncpg

from schemas.forgetting import forget_events
from schemas.topics import INTERACTIONS, owner

from .partition_agent import PartitionAgent
from .reading import ReadEvent, forgotten_user, read_events
from .record import Record
from .record_mark import RecordMark
from .services import RecordServices

_COLUMNS = (
    "username", "event_id", "occurred_at", "post_id", "interaction_type", "interaction_value", "recommendation_id",
    "session_id", "source", "log_number", "log_partition", "log_offset", "log_index",
)  # fmt: skip
_CLAIM = """
INSERT INTO event_ids (username, event_id) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (username, event_id) DO NOTHING RETURNING username, event_id
"""
"""An id that comes again may have another time, as those of messages without one do, and so belong to another month,
where no unique key of a partition would see it. To look into the keys of 28 partitions made 6,500 events a second of
26,000; this table costs the same however many months there are."""


Rows = dict[tuple[str, str], tuple[Any, ...]]
"""(username, event id) → row: the first of a repeated id."""


class EventLogAgent(PartitionAgent[RecordMark, RecordServices]):
    """Idempotent by the event id: a repeated one inserts nothing. One writer a partition, by the mark."""

    async def _load(self, partition: int) -> RecordMark:
        services = self._services
        return await RecordMark.load(services.pool, INTERACTIONS, partition, services.log_ids[INTERACTIONS])

    async def _apply(self, shard: RecordMark, records: list[Record]) -> None:
        rows: Rows = {}
        async with shard.moving(self._services.pool, records[-1].offset) as connection:
            for record in records:
                if (username := forgotten_user(record)) is None:
                    for row in self._rows(shard.number, record):
                        rows.setdefault(row[:2], row)
                    continue
                await insert(connection, rows)
                rows.clear()
                await forget_events(connection, username, record.partition)
            await insert(connection, rows)

    def _rows(self, log_number: int, record: Record) -> Iterable[tuple[Any, ...]]:
        for entry in read_events(record):
            if not isinstance(entry, ReadEvent):
                continue
            event = entry.interaction
            if owner(event.username, self._services.partitions) == record.partition:
                yield (
                    event.username, entry.event_id, datetime.fromtimestamp(entry.at, UTC), event.post_id,
                    event.interaction_type, event.interaction_value, event.recommendation_id, event.session_id,
                    event.source, log_number, record.partition, record.offset, entry.entry,
                )  # fmt: skip


async def insert(connection: asyncpg.Connection, rows: Rows) -> None:
    """Adds those whose event id was never there. In a transaction: an id without its row would lose the event."""
    if not rows:
        return
    claimed = await connection.fetch(_CLAIM, *(list(column) for column in zip(*rows, strict=True)))
    fresh = rows.values() if len(claimed) == len(rows) else [rows[each[0], each[1]] for each in claimed]
    if fresh:
        await connection.copy_records_to_table("interactions", records=fresh, columns=_COLUMNS)
