"""The trending-log agent: of each category and hour the last ranked snapshot into PostgreSQL.

The topic has a snapshot each time an order changes, every second when there is much to do: a row an hour tells what
trended when, and 11 categories make 96,000 a year.
"""

from datetime import UTC, datetime

import msgspec

from schemas import trending
from schemas.topics import TRENDING
from schemas.trending import TrendingSnapshot

from .partition_agent import PartitionAgent
from .record import Record
from .record_mark import RecordMark
from .services import RecordServices

_UPSERT = """
INSERT INTO trending_history AS kept (category, "window", at, published_at, posts, scores)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (category, "window", at) DO UPDATE SET published_at = excluded.published_at, posts = excluded.posts,
  scores = excluded.scores WHERE kept.published_at <= excluded.published_at
"""


class TrendingLogAgent(PartitionAgent[RecordMark, RecordServices]):
    """Idempotent: an older snapshot never replaces a newer one of its hour."""

    async def _load(self, partition: int) -> RecordMark:
        services = self._services
        return await RecordMark.load(services.pool, TRENDING, partition, services.log_ids[TRENDING])

    async def _apply(self, shard: RecordMark, records: list[Record]) -> None:
        newest: dict[tuple[str, str, datetime], tuple[datetime, TrendingSnapshot]] = {}
        for record in records:
            if (found := _read(record)) is not None:
                published = datetime.fromtimestamp(found.at, UTC)
                hour = published.replace(minute=0, second=0, microsecond=0)
                newest[found.category, found.window, hour] = published, found
        async with shard.moving(self._services.pool, records[-1].offset) as connection:
            await connection.executemany(
                _UPSERT,
                [
                    (*key, published, [post.post_id for post in found.posts], [post.score for post in found.posts])
                    for key, (published, found) in newest.items()
                ],
            )


def _read(record: Record) -> TrendingSnapshot | None:
    """Only our publisher writes there; what is something else is nobody's loss."""
    try:
        found = trending.decode(record.value or b"")
        datetime.fromtimestamp(found.at, UTC)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, OverflowError, OSError):
        return None
    return found
