"""The catalogue-log agent: rows of posts and users into PostgreSQL, the newest of each."""

from datetime import UTC, datetime

import asyncpg
import msgspec

from schemas.decoding import one_or_many
from schemas.errors import ContractError
from schemas.posts import Post, decode_post, deleted_post
from schemas.topics import POSTS

from . import users
from .partition_agent import PartitionAgent
from .record import Record
from .record_mark import RecordMark
from .services import RecordServices

_UPSERT_POST = """
INSERT INTO posts (id, title, category, author, created_at, servable, tags, row)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET title = excluded.title, category = excluded.category, author = excluded.author,
  created_at = excluded.created_at, servable = excluded.servable, tags = excluded.tags,
  row = excluded.row, recorded_at = now()
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
        newest = {post_id: row for record in records for post_id, row in _posts(record)}
        kept = [row for row in newest.values() if row is not None]
        await connection.executemany("DELETE FROM posts WHERE id = $1", [(i,) for i, row in newest.items() if not row])
        await connection.executemany(
            _UPSERT_POST,
            [
                (post.id, post.title, post.category, post.author,
                 datetime.fromtimestamp(post.created_at, UTC) if post.created_at else None,
                 post.servable, post.tags, row.decode())
                for post, row in kept
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


def _posts(record: Record) -> list[tuple[int, tuple[Post, bytes] | None]]:
    """Id of each post of a message, and its row as it came, with `post_summary`; None for one that is deleted."""
    try:
        if record.value is None:
            return [(deleted_post(record.key), None)]
        rows = one_or_many(record.value, _whole)
    except ContractError:
        return []
    return [(row[0].id, row) for row in rows if not isinstance(row, ContractError)]


def _whole(row: bytes | msgspec.Raw) -> tuple[Post, bytes]:
    """Encoded anew: of numbers like 1e-20000, which are 0 to us, PostgreSQL's jsonb says that they overflow."""
    return decode_post(row), msgspec.json.encode(msgspec.json.decode(row))
