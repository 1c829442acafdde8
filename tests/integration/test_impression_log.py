"""Served pages in PostgreSQL: each once, whatever is delivered again, and none for ever."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from schemas.impressions import Impression, encode
from schemas.migrate import migrate
from schemas.settings import Settings
from schemas.topics import IMPRESSIONS
from streams.impression_log import ImpressionLogAgent
from streams.log_reader import LogReader
from streams.progress import Progress
from streams.record import Record

AT = 1_795_381_200.0


@pytest.fixture
async def pool(postgres: str) -> AsyncIterator[asyncpg.Pool]:
    connection = await asyncpg.connect(postgres)
    await connection.execute("DROP DATABASE IF EXISTS shown")
    await connection.execute("CREATE DATABASE shown")
    await connection.close()
    url = f"{postgres.rsplit('/', 1)[0]}/shown"
    await migrate(url)
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        yield pool


def agent(pool: asyncpg.Pool) -> ImpressionLogAgent:
    services: Any = SimpleNamespace(
        pool=pool, partitions=1, progress=Progress(), log_ids={IMPRESSIONS: "a log"}, log_reader=LogReader(Settings())
    )
    return ImpressionLogAgent(services)


def page(offset: int, name: str, at: float = AT, **fields: Any) -> Record:
    impression = Impression(
        recommendation_id=name, username="ada", session_id=None, served_at=at, algorithm_used="svd",
        model_versions={"svd": "7"}, position=20, posts=[11, 12], scores=[0.5, None],
        sources=[["svd"], ["svd", "exploration"]], **fields,
    )  # fmt: skip
    return Record(IMPRESSIONS, 0, offset, at, b"ada", encode(impression))


async def names(pool: asyncpg.Pool) -> list[str]:
    rows = await pool.fetch("SELECT recommendation_id FROM impressions ORDER BY served_at, recommendation_id")
    return [row["recommendation_id"] for row in rows]


async def test_a_page_is_one_row_whatever_is_delivered_again(pool: asyncpg.Pool) -> None:
    bad = Record(IMPRESSIONS, 0, 1, AT, b"ada", b'{"posts": "none"}')
    first = [page(0, "a", propensities=[1.0, 0.25]), bad, page(2, "b", features=[{"svd": 0.5}, {}])]
    await agent(pool).apply(0, first)
    await agent(pool).apply(0, [*first, page(3, "a"), page(4, "c"), page(5, "b", AT + 1)])
    assert await names(pool) == ["a", "b", "c"]
    row = await pool.fetchrow("SELECT * FROM impressions WHERE recommendation_id = 'a'")
    assert (row["posts"], row["scores"], row["propensities"], row["position"]) == (
        [11, 12], [0.5, None], [1.0, 0.25], 20,
    )  # fmt: skip
    assert row["served_at"].timestamp() == AT
    exploring = "SELECT recommendation_id FROM impressions WHERE sources @> '[[\"exploration\"]]' AND features IS NULL"
    assert {each["recommendation_id"] for each in await pool.fetch(exploring)} == {"a", "c"}
