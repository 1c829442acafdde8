"""The impression-log agent: every served page into PostgreSQL, once. Old months are dropped (schemas.partitions).

Dead letters are those of streams.impressions, which reads the same topic for the learner.
"""

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

_COLUMNS = {
    "recommendation_id": "text", "username": "text", "session_id": "text", "served_at": "timestamptz",
    "position": "int4", "posts": "int8[]", "scores": "float8[]", "propensities": "float8[]", "sources": "jsonb",
    "features": "jsonb", "algorithm_used": "text", "model_versions": "jsonb", "variant": "text",
}  # fmt: skip
_INSERT = (
    f"INSERT INTO impressions ({', '.join(_COLUMNS)}) SELECT "  # noqa: S608
    + ", ".join(f"${place}::{kind}" for place, kind in enumerate(_COLUMNS.values(), 1))
    + " WHERE NOT EXISTS (SELECT FROM impressions WHERE recommendation_id = $1) "
    "ON CONFLICT (recommendation_id, served_at) DO NOTHING"
)


class ImpressionLogAgent(PartitionAgent[RecordMark, RecordServices]):
    """Idempotent by the page's id: one that is told twice is one row. One writer a partition, by the mark."""

    async def _load(self, partition: int) -> RecordMark:
        services = self._services
        return await RecordMark.load(services.pool, IMPRESSIONS, partition, services.log_ids[IMPRESSIONS])

    async def _apply(self, shard: RecordMark, records: list[Record]) -> None:
        found = [impression for record in records if (impression := _read(record)) is not None]
        async with shard.moving(self._services.pool, records[-1].offset) as connection:
            if found:
                await connection.executemany(_INSERT, [_row(each) for each in found])


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
