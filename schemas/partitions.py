"""Months of the big tables: made ahead, and dropped when they are older than the settings keep them.

A row of a month that has no partition goes to the table's default one, `…_rest`: events of years ago, and of a month
that nobody made in time. Not to a partition made for it: a publisher with odd times could then have PostgreSQL keep
hundreds of tables, each of which every query of a user looks into, and DDL would stand in the way of writing.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg

from .settings import Settings

AHEAD = 2
"""Months after this one that are there already: the job may stand still that long."""
LOCK = 0x72656C70
LOCK_SECONDS = 2
"""Making and dropping wants the table for itself for a moment. Behind a rebuild, which reads for minutes, it gives up
rather than let all writers wait behind it."""
SECONDS = 3_600
"""For the rows of a month."""
LONGEST = timedelta(hours=2)
"""What a transaction that writes may take: the times of its rows are those of its beginning."""


class Partitioned(NamedTuple):
    """column: the time by which a table is partitioned. keeps: the setting of how many months before this one stay."""

    name: str
    column: str
    keeps: str


PARTITIONED = (
    Partitioned("interactions", "occurred_at", "interaction_months"),
    Partitioned("impressions", "served_at", "impression_months"),
    Partitioned("trending_history", "at", "trending_months"),
    Partitioned("audit_log", "at", "audit_months"),
)


class Month(NamedTuple):
    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        moment = moment.astimezone(UTC)
        return cls(moment.year, moment.month)

    def plus(self, months: int) -> "Month":
        years, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(years, month + 1)

    @property
    def begin(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    def partition(self, table: str) -> str:
        return f"{table}_p{self.year:04d}{self.month:02d}"


class Kept(NamedTuple):
    """Names of the partitions that were made and dropped; old: rows that left the default partitions."""

    made: list[str]
    dropped: list[str]
    old: int


async def keep(connection: asyncpg.Connection, settings: Settings, now: datetime) -> Kept:
    """Makes the months to come and drops what is past keeping, table by table.

    Harmless beside itself and beside writers. Raises what asyncpg raises, LockNotAvailableError where a table is in
    use for too long: nothing is half done then, and the next call does it.
    """
    kept = Kept([], [], 0)
    for table in PARTITIONED:
        keeps: int | None = getattr(settings, table.keeps)
        there = await months(connection, table.name)
        for month in (Month.of(now).plus(ahead) for ahead in range(AHEAD + 1)):
            if month not in there and await _make(connection, table, month):
                kept.made.append(month.partition(table.name))
        if keeps is None:
            continue
        oldest = Month.of(now).plus(-keeps)
        for month in there:
            if month < oldest and await _drop(connection, table, month):
                kept.dropped.append(month.partition(table.name))
        kept = kept._replace(old=kept.old + await _trim(connection, table, oldest.begin))
    return kept


@asynccontextmanager
async def _alone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction beside which nobody else makes or drops, and which does not wait long for a table."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        await connection.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        yield


async def months(connection: asyncpg.Connection, table: str) -> list[Month]:
    """Those that have a partition."""
    return sorted(_read(await connection.fetch(_CHILDREN, table), table))


OLD = "DELETE FROM {table}_rest WHERE {column} < $1"
OLD_EVENTS = """
WITH old AS (DELETE FROM interactions_rest WHERE occurred_at < $1 RETURNING username, event_id)
DELETE FROM event_ids USING old WHERE event_ids.username = old.username AND event_ids.event_id = old.event_id
"""
_CHILDREN = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = to_regclass($1)"


def _read(rows: list[asyncpg.Record], table: str) -> Iterator[Month]:
    for row in rows:
        if found := re.fullmatch(rf"{table}_p(\d{{4}})(\d{{2}})", row["name"]):
            yield Month(int(found[1]), int(found[2]))


async def _make(connection: asyncpg.Connection, table: Partitioned, month: Month) -> bool:
    """With what the default partition has of that month; nobody writes there meanwhile. False when it is there."""
    name, begin, end = month.partition(table.name), month.begin, month.plus(1).begin
    async with _alone(connection):
        if month in await months(connection, table.name):
            return False
        await connection.execute(f"LOCK TABLE {table.name}_rest IN ACCESS EXCLUSIVE MODE")
        await connection.execute(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL)")
        await connection.execute(
            f"WITH moved AS (DELETE FROM {table.name}_rest "  # noqa: S608
            f"WHERE {table.column} >= $1 AND {table.column} < $2 RETURNING *) INSERT INTO {name} SELECT * FROM moved",
            begin, end, timeout=SECONDS,
        )  # fmt: skip
        bounds = f"FROM ('{begin}') TO ('{end}')"
        await connection.execute(f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES {bounds}")
    return True


async def _drop(connection: asyncpg.Connection, table: Partitioned, month: Month) -> bool:
    """Detached and dropped at once: what lay about detached, forgetting a user would not reach. False when it is gone.

    The ids of its events go first, which takes minutes for a large month; then, once nobody writes to it any more,
    those of what came meanwhile.
    """
    name, events = month.partition(table.name), table.name == "interactions"
    began = await connection.fetchval("SELECT now()")
    if events:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            await _free_ids(connection, name, datetime(1970, 1, 1, tzinfo=UTC))
    async with _alone(connection):
        if month not in await months(connection, table.name):
            return False
        await connection.execute(f"ALTER TABLE {table.name} DETACH PARTITION {name}")
        if events:
            await _free_ids(connection, name, began - LONGEST)
        await connection.execute(f"DROP TABLE {name}")
    return True


async def _free_ids(connection: asyncpg.Connection, name: str, recorded_after: datetime) -> None:
    await connection.execute(
        f"DELETE FROM event_ids USING {name} AS old WHERE old.recorded_at > $1 "  # noqa: S608
        "AND event_ids.username = old.username AND event_ids.event_id = old.event_id",
        recorded_after, timeout=SECONDS,
    )  # fmt: skip


async def _trim(connection: asyncpg.Connection, table: Partitioned, before: datetime) -> int:
    """Deletes old rows of the default partition; returns how many."""
    query = OLD_EVENTS if table.name == "interactions" else OLD.format(table=table.name, column=table.column)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
        gone: str = await connection.execute(query, before, timeout=SECONDS)
    return int(gone.split()[-1])
