"""The record by months: each event one row whatever its time, months made ahead, old ones dropped."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import msgspec
import pytest

from schemas import partitions, trending
from schemas.database import create_pool
from schemas.migrate import migrate
from schemas.partitions import Month
from schemas.settings import Settings
from schemas.topics import INTERACTIONS, TRENDING
from schemas.trending import TrendingPost, TrendingSnapshot
from streams.event_log import EventLogAgent
from streams.log_reader import LogReader
from streams.months import keep_months
from streams.progress import Progress
from streams.record import Record
from streams.services import RECORD_PLANNER
from streams.trending_log import TrendingLogAgent

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
AT = NOW.timestamp()


@pytest.fixture
async def settings(postgres: str) -> Settings:
    connection = await asyncpg.connect(postgres)
    await connection.execute("DROP DATABASE IF EXISTS months WITH (FORCE)")
    await connection.execute("CREATE DATABASE months")
    await connection.close()
    url = f"{postgres.rsplit('/', 1)[0]}/months"
    await migrate(url)
    return Settings(_env_file=None, database_url=url, interaction_months=12)


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    async with await create_pool(settings, **RECORD_PLANNER) as pool:
        yield pool


def services(pool: asyncpg.Pool, settings: Settings) -> Any:
    logs = {INTERACTIONS: "a log", TRENDING: "another"}
    return SimpleNamespace(
        pool=pool, partitions=1, progress=Progress(), log_ids=logs, log_reader=LogReader(Settings()), settings=settings
    )


def message(offset: int, *events: tuple[str, datetime], user: str = "ada") -> Record:
    rows = [
        {"event_id": name, "username": user, "post_id": 1, "interaction_type": "like",
         "occurred_at": at.isoformat()} for name, at in events
    ]  # fmt: skip
    return Record(INTERACTIONS, 0, offset, AT, user.encode(), msgspec.json.encode(rows))


async def times(pool: asyncpg.Pool) -> dict[str, datetime]:
    rows = await pool.fetch("SELECT event_id, occurred_at FROM interactions ORDER BY log_offset, log_index")
    assert len({row["event_id"] for row in rows}) == len(rows)
    return {row["event_id"]: row["occurred_at"] for row in rows}


async def test_an_event_id_is_one_row_whatever_time_and_month_it_comes_with(
    pool: asyncpg.Pool, settings: Settings
) -> None:
    async with pool.acquire() as connection:
        await partitions.keep(connection, settings, NOW)
    agent, day = EventLogAgent(services(pool, settings)), timedelta(days=1)
    old = datetime(1997, 9, 20, tzinfo=UTC)
    await agent.apply(0, [message(0, ("a", NOW), ("b", old), ("a", NOW - 40 * day), ("c", NOW))])
    await agent.apply(0, [message(1, ("b", NOW), ("a", NOW + day / 2), ("c", NOW), ("d", NOW))])
    await agent.apply(0, [message(2, ("a", NOW), user="bob"), message(3, ("c", old))])
    rows = await pool.fetch("SELECT username, event_id FROM interactions ORDER BY log_offset, log_index")
    assert [tuple(row) for row in rows] == [
        ("ada", "a"), ("ada", "b"), ("ada", "c"), ("ada", "d"), ("bob", "a"),
    ]  # fmt: skip
    mine = await pool.fetch("SELECT event_id, occurred_at FROM interactions WHERE username = 'ada' ORDER BY event_id")
    assert [row["occurred_at"] for row in mine] == [NOW, old, NOW, NOW]
    where = await pool.fetch("SELECT tableoid::regclass::text AS name FROM interactions ORDER BY name")
    assert {row["name"] for row in where} == {"interactions_p202611", "interactions_rest"}


async def test_months_come_with_what_the_default_partition_had_of_them_and_old_ones_go(
    pool: asyncpg.Pool, settings: Settings
) -> None:
    """Nobody made months for a while, and then somebody does, twice."""
    agent = EventLogAgent(services(pool, settings))
    moments = [Month(2025, 10).begin, Month(2025, 11).begin, NOW, NOW + timedelta(hours=20)]
    await agent.apply(0, [message(0, *((f"{at:%Y-%m-%d}", at) for at in moments))])
    async with pool.acquire() as connection:
        first = await partitions.keep(connection, settings, NOW)
        again = await partitions.keep(connection, settings, NOW)
        assert await partitions.months(connection, "interactions") == [Month(2026, 11), Month(2026, 12), Month(2027, 1)]
        assert (again.made, again.dropped, again.old) == ([], [], 0)
        assert len(first.made) == 3 * len(partitions.PARTITIONED)
        assert first.old == 1
        kept = ["2025-11-01", "2026-11-25", "2026-11-26"]
        assert list(await times(pool)) == kept
        assert [row["event_id"] for row in await pool.fetch("TABLE event_ids ORDER BY event_id")] == kept
        assert await pool.fetchval("SELECT count(*) FROM interactions_p202611") == 2
        assert await pool.fetchval("SELECT count(*) FROM interactions_rest") == 1
        later = await partitions.keep(connection, settings, Month(2027, 12).begin)
        assert "interactions_p202611" in later.dropped
        assert "audit_log_p202611" not in later.dropped
        assert await pool.fetchval("SELECT to_regclass('interactions_p202611')") is None
    assert await times(pool) == {}
    assert not await pool.fetchval("SELECT count(*) FROM event_ids")
    await agent.apply(0, [message(1, ("late", NOW))])
    assert list(await times(pool)) == ["late"]


async def test_without_a_setting_interactions_stay_for_ever(pool: asyncpg.Pool, settings: Settings) -> None:
    endless = settings.model_copy(update={"interaction_months": None})
    await EventLogAgent(services(pool, endless)).apply(0, [message(0, ("old", datetime(1997, 9, 20, tzinfo=UTC)))])
    await keep_months(services(pool, endless))
    assert list(await times(pool)) == ["old"]
    assert len(await pool.fetch("SELECT FROM pg_inherits WHERE inhparent = 'interactions'::regclass")) == 4


async def test_a_pool_is_as_large_and_a_statement_as_long_as_the_settings_say(settings: Settings) -> None:
    asked = settings.model_copy(update={"database_pool_size": 2, "database_timeout_seconds": 1.0})
    async with await create_pool(asked) as pool:
        assert await pool.fetchval("SHOW statement_timeout") == "2s"
        assert pool.get_max_size() == 2
        with pytest.raises(TimeoutError):
            await pool.execute("SELECT pg_sleep(60)")


async def test_a_table_that_is_in_use_is_left_for_the_next_time(pool: asyncpg.Pool, settings: Settings) -> None:
    async with pool.acquire() as reader, pool.acquire() as keeper, reader.transaction():
        await reader.execute("LOCK TABLE impressions_rest IN ACCESS SHARE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await partitions.keep(keeper, settings, NOW)
        assert await partitions.months(keeper, "impressions") == []
    async with pool.acquire() as keeper:
        await partitions.keep(keeper, settings, NOW)
        assert len(await partitions.months(keeper, "impressions")) == 3


def test_months_count_over_the_end_of_a_year() -> None:
    assert Month.of(datetime(2026, 12, 31, 23, 30, tzinfo=UTC)).plus(2) == Month(2027, 2)
    assert Month(2026, 2).plus(-14) == Month(2024, 12)
    assert Month.of(datetime.fromisoformat("2026-12-01T00:30:00+02:00")) == Month(2026, 11)


def snapshot(offset: int, at: datetime, *posts: int) -> Record:
    ranked = [TrendingPost(post_id=post, rank=rank, score=1 / rank, moved=None) for rank, post in enumerate(posts, 1)]
    value = trending.encode(TrendingSnapshot(category="all", window="24h", at=at.timestamp(), posts=ranked))
    return Record(TRENDING, 0, offset, AT, b"all", value)


async def test_of_each_hour_the_last_snapshot_of_trending_is_kept(pool: asyncpg.Pool, settings: Settings) -> None:
    agent = TrendingLogAgent(services(pool, settings))
    bad = Record(TRENDING, 0, 3, AT, b"all", str(uuid.uuid4()).encode())
    minute = timedelta(minutes=1)
    await agent.apply(0, [snapshot(0, NOW, 1, 2), snapshot(1, NOW + 5 * minute, 2, 1)])
    await agent.apply(0, [snapshot(2, NOW + 3 * minute, 9), bad, snapshot(4, NOW + 60 * minute, 3)])
    rows = await pool.fetch("SELECT at, published_at, posts, scores FROM trending_history ORDER BY at")
    assert [tuple(row) for row in rows] == [
        (NOW, NOW + 5 * minute, [2, 1], [1.0, 0.5]),
        (NOW + timedelta(hours=1), NOW + 60 * minute, [3], [1.0]),
    ]
