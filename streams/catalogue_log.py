"""The catalogue-log agent: rows of posts and users into PostgreSQL, the newest of each."""

from datetime import UTC, datetime

import asyncpg
import msgspec

from schemas.errors import ContractError
from schemas.topics import POSTS

from . import posts, users
from .partition_agent import PartitionAgent
from .record import Record
from .record_mark import RecordMark
from .services import RecordServices

_UPSERT_POST = """
INSERT INTO posts (id, title, category, author, created_at, servable, row) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET title = excluded.title, category = excluded.category, author = excluded.author,
  created_at = excluded.created_at, servable = excluded.servable, row = excluded.row, recorded_at = now()
"""
_UPSERT_USER = """
INSERT INTO users (username, id, role, row) VALUES ($1, $2, $3, $4)
ON CONFLICT (username) DO UPDATE SET id = excluded.id, role = excluded.role, row = excluded.row, recorded_at = now()
"""


class CatalogueLogAgent(PartitionAgent[RecordMark, RecordServices]):
    """Of one topic. A row written twice is the same row, and by the mark an older one never replaces a newer."""

    def __init__(self, services: RecordServices, topic: str) -> None:
        super().__init__(services)
        self._topic = topic
        self._write = self._write_posts if topic == POSTS else self._write_users

    async def _load(self, partition: int) -> RecordMark:
        services = self._services
        return await RecordMark.load(services.pool, self._topic, partition, services.log_ids[self._topic])

    async def _apply(self, shard: RecordMark, records: list[Record]) -> None:
        async with shard.moving(self._services.pool, records[-1].offset) as connection:
            await self._write(connection, records)

    async def _write_posts(self, connection: asyncpg.Connection, records: list[Record]) -> None:
        rows = [row for record in records for row in posts.read_rows(record)]
        newest = dict(row for row in rows if not isinstance(row, ContractError))
        kept = [post for post in newest.values() if post is not None]
        await connection.executemany(
            "DELETE FROM posts WHERE id = $1", [(i,) for i, post in newest.items() if not post]
        )
        await connection.executemany(
            _UPSERT_POST,
            [
                (post.id, post.title, post.category, post.author,
                 datetime.fromtimestamp(post.created_at, UTC) if post.created_at else None,
                 post.servable, post.item.decode())
                for post in kept
            ],
        )  # fmt: skip

    async def _write_users(self, connection: asyncpg.Connection, records: list[Record]) -> None:
        rows = [row for record in records for row in users.read_rows(record)]
        newest = dict(row for row in rows if not isinstance(row, ContractError))
        await connection.executemany(
            "DELETE FROM users WHERE username = $1", [(name,) for name, user in newest.items() if not user]
        )
        await connection.executemany(
            _UPSERT_USER,
            [(u.username, u.id, u.role, msgspec.json.encode(u).decode()) for u in newest.values() if u],
        )
