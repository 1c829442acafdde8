"""The record as of one moment: what a rebuild reads from PostgreSQL, in chunks, from one consistent view."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from schemas.errors import ContractError
from schemas.posts import Post, decode_post

from .user_record import EVENT_COLUMNS

ROWS = 5_000
SECONDS = 600
"""The longest statement: a log's partition is counted and sorted as a whole."""
_MARKS = "SELECT DISTINCT ON (topic, log_partition) * FROM log_marks ORDER BY topic, log_partition, log_number DESC"
_EVENTS = f"""
SELECT {EVENT_COLUMNS}, recorded_at FROM interactions WHERE log_partition = $1
ORDER BY username, log_number, log_offset, log_index
"""  # noqa: S608
_IDS = """
SELECT username, event_id FROM interactions WHERE log_partition = $1
ORDER BY log_number DESC, log_offset DESC, log_index DESC LIMIT $2
"""
_KNOWN = "SELECT DISTINCT username FROM interactions WHERE log_partition = $1 AND username = ANY($2::text[])"
_COUNT = "SELECT count(*) FROM interactions"
_POSTS = 'SELECT "row"::text FROM posts'
_USERS = 'SELECT username, "row"::text FROM users'

Rows = list[Any]
Ends = dict[tuple[str, int], tuple[str, int]]
"""(topic, partition) → id of its newest log, and the last offset recorded of it."""


class RecordSnapshot:
    """Reads inside one repeatable-read transaction. Everything raises what asyncpg raises."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def of(cls, pool: asyncpg.Pool) -> AsyncIterator["RecordSnapshot"]:
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            yield cls(connection)

    async def marks(self) -> Ends:
        """Where the record ends."""
        rows = await self._connection.fetch(_MARKS)
        return {(row["topic"], row["log_partition"]): (row["log"], row["log_offset"]) for row in rows}

    async def count_events(self) -> int:
        return int(await self._connection.fetchval(_COUNT, timeout=SECONDS))

    async def posts(self) -> AsyncIterator[list[Post]]:
        async for rows in self._chunks(_POSTS):
            yield [post for (row,) in rows if (post := _post(row)) is not None]

    def users(self) -> AsyncIterator[Rows]:
        """Chunks of (username, row as JSON text)."""
        return self._chunks(_USERS)

    def events(self, partition: int) -> AsyncIterator[Rows]:
        """Chunks of EVENT_COLUMNS and recorded_at: user by user, each user's events in the order of the log."""
        return self._chunks(_EVENTS, partition)

    async def event_ids(self, partition: int, most: int) -> Rows:
        """(username, event_id) of the newest events, oldest first."""
        return list(reversed(await self._connection.fetch(_IDS, partition, most, timeout=SECONDS)))

    async def known_users(self, partition: int, usernames: Collection[str]) -> set[str]:
        """Those of `usernames` that have an event."""
        rows = await self._connection.fetch(_KNOWN, partition, list(usernames), timeout=SECONDS)
        return {row["username"] for row in rows}

    async def _chunks(self, query: str, *arguments: object) -> AsyncIterator[Rows]:
        cursor = await self._connection.cursor(query, *arguments)
        while rows := await cursor.fetch(ROWS, timeout=SECONDS):
            yield rows


def _post(row: str) -> Post | None:
    try:
        return decode_post(row.encode())
    except ContractError:  # recorded under an older contract that took it
        return None
