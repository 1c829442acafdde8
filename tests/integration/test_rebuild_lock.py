"""The lock of a rebuild, on a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from redis.asyncio import Redis

from schemas import keys
from streams.rebuild_lock import rebuild_lock
from streams.redis import connect


@pytest_asyncio.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    client = connect(f"{valkey.rsplit('/', 1)[0]}/9")
    await client.delete(keys.REBUILD_LOCK)
    yield client
    await client.aclose()


async def test_the_lock_outlasts_its_time_to_live_as_long_as_it_is_held(redis: Redis):
    async with rebuild_lock(redis, 1) as ours:
        assert ours
        for _ in range(25):
            await asyncio.sleep(0.1)
            async with rebuild_lock(redis, 1) as theirs:
                assert not theirs
    async with rebuild_lock(redis, 1) as theirs:
        assert theirs


async def test_a_lock_that_another_took_meanwhile_is_left_to_it(redis: Redis):
    async with rebuild_lock(redis, 1):
        await redis.set(keys.REBUILD_LOCK, "another", ex=100)
        await asyncio.sleep(0.7)
        assert await redis.ttl(keys.REBUILD_LOCK) > 90
    assert await redis.get(keys.REBUILD_LOCK) == b"another"
