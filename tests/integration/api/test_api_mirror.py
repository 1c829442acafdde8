"""The mirror against a real Valkey: it follows, and notices when it can't have seen everything."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.metrics import Metrics
from api.mirror import REBUILDING, Mirror
from api.redis import RedisBytes, connection
from schemas import generation, keys
from schemas.generation import Generation

PARTITIONS = 4


@pytest.fixture
def own_url(valkey: str) -> str:
    return valkey.rsplit("/", 1)[0] + "/6"


@pytest.fixture
def writer(worker: Any, own_url: str) -> Any:
    """A worker that writes to a database of its own, empty at first."""
    writer = type(worker)(own_url)
    writer.redis.flushdb()
    return writer


@pytest.fixture
async def redis(own_url: str) -> AsyncIterator[RedisBytes]:
    opened = connection(own_url, 5.0)
    yield opened
    await opened.aclose()


async def run_until(mirror: Mirror, until: Any, *post_ids: int) -> None:
    """Runs the mirror until it knows exactly these posts, and stops it there."""

    async def known() -> bool:
        posts = [post.id for post in mirror.catalogue.posts if post is not None]
        return sorted(posts) == list(post_ids) and mirror.problem is None

    running = asyncio.create_task(mirror.run())
    await until(known)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_mirror_that_was_away_catches_up_without_a_reload(redis: RedisBytes, writer: Any, until: Any) -> None:
    mirror = Mirror(redis, PARTITIONS, Metrics())
    writer.post(1)
    await run_until(mirror, until, 1)
    before = mirror.catalogue
    writer.post(2)
    writer.counts(2, 5.0)
    writer.neighbours(2, {1: 3.0})
    writer.delete(1)
    await run_until(mirror, until, 2)
    assert mirror.catalogue is before
    slot = before.slots[2]
    assert before.decayed[slot].tolist() == [5.0] * 3
    assert before.neighbours.of(slot)[0][0] == before.slots[1]


async def test_entries_that_were_trimmed_unread_cause_a_reload(redis: RedisBytes, writer: Any, until: Any) -> None:
    mirror = Mirror(redis, PARTITIONS, Metrics())
    writer.post(1)
    await run_until(mirror, until, 1)
    before = mirror.catalogue
    writer.post(2)
    writer.delete(1)
    for partition in range(PARTITIONS):
        writer.redis.xtrim(keys.item_changes(partition), maxlen=0, approximate=False)
    await run_until(mirror, until, 2)
    assert mirror.catalogue is not before


async def test_a_redis_that_was_emptied_and_filled_again_causes_a_reload(
    redis: RedisBytes, writer: Any, until: Any
) -> None:
    mirror = Mirror(redis, PARTITIONS, Metrics())
    writer.post(1)
    await run_until(mirror, until, 1)
    writer.redis.flushdb()
    writer.post(3)
    await run_until(mirror, until, 3)


async def test_a_value_of_another_format_costs_nothing_but_itself(redis: RedisBytes, writer: Any, until: Any) -> None:
    mirror = Mirror(redis, PARTITIONS, Metrics())
    writer.post(1)
    writer.post(2)
    for partition in range(PARTITIONS):
        writer.redis.set(keys.item_state(partition, 1), b"\x96\x63")
    await run_until(mirror, until, 1, 2)


async def test_a_mirror_keeps_its_posts_while_the_state_is_rebuilt_and_then_reloads(
    redis: RedisBytes, writer: Any, until: Any
) -> None:
    def declare(name: str, ended_at: float) -> None:
        state = Generation(id=name, reason="test", started_at=1.0, ended_at=ended_at)
        writer.redis.set(keys.GENERATION, generation.encode(state))

    mirror = Mirror(redis, PARTITIONS, Metrics())
    declare("first", 2.0)
    writer.post(1)
    await run_until(mirror, until, 1)
    writer.redis.flushdb()
    running = asyncio.create_task(mirror.run())

    async def waits() -> bool:
        return mirror.problem == REBUILDING

    await until(waits)
    declare("second", 0.0)
    writer.post(2)
    await asyncio.sleep(1.5)
    assert mirror.catalogue.has_row(1)
    assert mirror.degraded
    declare("second", 3.0)
    running.cancel()
    await run_until(mirror, until, 2)
