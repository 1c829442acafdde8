"""The transaction of a batch, on a real Redis: all of it with the mark, or nothing."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from streams.batches import Conflict
from streams.commit import SET_EXPIRING, Committer
from streams.redis import connect

MARK, KEY, OTHER, SCORES = "{commit}:mark", "{commit}:key", "{commit}:other", "{commit}:scores"


@pytest_asyncio.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    client = connect(valkey)
    await client.delete(MARK, KEY, OTHER, SCORES)
    yield client
    await client.aclose()


async def test_commands_and_mark_are_written_together_with_any_bytes(redis: Redis):
    payload = bytes(range(256))
    commands = [("SET", KEY, payload, "EX", 100), ("ZADD", SCORES, 1e9 / 3, 7)]
    await Committer(redis).commit(MARK, b"", b"\x93\x00first", commands)
    assert await redis.get(KEY) == payload
    assert 0 < await redis.ttl(KEY) <= 100
    assert await redis.zscore(SCORES, 7) == 1e9 / 3
    assert await redis.get(MARK) == b"\x93\x00first"


async def test_many_values_are_set_with_one_time_to_live(redis: Redis):
    commands = [(SET_EXPIRING, 100, KEY, b"1", OTHER, b"2"), (SET_EXPIRING, 100), ("ZADD", SCORES, 1, 7)]
    await Committer(redis).commit(MARK, b"", b"first", commands)
    assert [await redis.get(KEY), await redis.get(OTHER), await redis.zscore(SCORES, 7)] == [b"1", b"2", 1.0]
    assert min(await redis.ttl(KEY), await redis.ttl(OTHER)) > 90


async def test_a_mark_that_moved_fences_the_writer_off(redis: Redis):
    """A worker paused while its partition moved: it still believes the mark it wrote last."""
    heir, zombie = Committer(redis), Committer(redis)
    await zombie.commit(MARK, b"", b"one", [("SET", KEY, b"1")])
    await heir.commit(MARK, b"one", b"two", [("SET", KEY, b"2")])
    with pytest.raises(Conflict):
        await zombie.commit(MARK, b"one", b"zombie", [("SET", KEY, b"late"), ("ZADD", SCORES, 1, 1)])
    assert (await redis.get(KEY), await redis.get(MARK), await redis.exists(SCORES)) == (b"2", b"two", 0)


async def test_a_batch_of_thousands_of_values_fits(redis: Redis):
    pairs = [part for number in range(1000) for part in (f"{{commit}}:{number}", b"x" * 1500)]
    await Committer(redis).commit(MARK, b"", b"big", [("MSET", *pairs), *[("DEL", key) for key in pairs[::2]]])
    assert await redis.get(MARK) == b"big"
