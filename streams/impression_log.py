"""The impression-log agent: every served page into PostgreSQL, once, and out of it after IMPRESSION_DAYS.

Dead letters are those of streams.impressions, which reads the same topic for the learner.
"""

from datetime import timedelta
from typing import Any

import msgspec

from schemas import impressions
from schemas.errors import ContractError
from schemas.impressions import Impression
from schemas.topics import IMPRESSIONS

from .partition_agent import PartitionAgent
from .record import Record
from .record_mark import RecordMark
from .services import RecordServices

IMPRESSION_DAYS = 30
"""By the time of the pages, not by the clock. A page of 20 takes 2.2 KB with its indexes: a million a day are 66 GB."""
TRIMMED = 2
"""Old rows that go for each new one, at most: what was left of a busier time is gone after as many pages again."""
_COLUMNS = (
    "recommendation_id", "username", "session_id", "served_at", "position", "posts", "scores", "propensities",
    "sources", "features", "algorithm_used", "model_versions", "variant",
)  # fmt: skip
_INSERT = (
    f"INSERT INTO impressions ({', '.join(_COLUMNS)}) "  # noqa: S608
    f"VALUES ({', '.join(f'${place}' for place in range(1, len(_COLUMNS) + 1))}) "
    "ON CONFLICT (recommendation_id) DO NOTHING"
)
_TRIM = """
DELETE FROM impressions WHERE recommendation_id IN (
  SELECT recommendation_id FROM impressions WHERE served_at < $1 ORDER BY served_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


class ImpressionLogAgent(PartitionAgent[RecordMark, RecordServices]):
    """Idempotent by the primary key: a page that is told twice is one row. One writer a partition, by the mark."""

    async def _load(self, partition: int) -> RecordMark:
        services = self._services
        return await RecordMark.load(services.pool, IMPRESSIONS, partition, services.log_ids[IMPRESSIONS])

    async def _apply(self, shard: RecordMark, records: list[Record]) -> None:
        found = [impression for record in records if (impression := _read(record)) is not None]
        async with shard.moving(self._services.pool, records[-1].offset) as connection:
            if found:
                await connection.executemany(_INSERT, [_row(each) for each in found])
                before = max(each.served for each in found) - timedelta(days=IMPRESSION_DAYS)
                await connection.execute(_TRIM, before, TRIMMED * len(found))


def _read(record: Record) -> Impression | None:
    try:
        return impressions.decode(record.value or b"", record.at)
    except ContractError:
        return None


def _row(each: Impression) -> tuple[Any, ...]:
    return (
        each.recommendation_id, each.username, each.session_id, each.served, each.position, each.posts, each.scores,
        each.propensities, _json(each.sources), None if each.features is None else _json(each.features),
        each.algorithm_used, _json(each.model_versions), each.variant,
    )  # fmt: skip


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
