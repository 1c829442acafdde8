"""The transaction of a batch, on a real Redis: all of it with the mark, or nothing."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from streams.batches import Conflict
from streams.commit import Committer
from streams.redis import connect

MARK, KEY, SCORES = "{commit}:mark", "{commit}:key", "{commit}:scores"


@pytest_asyncio.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    client = connect(valkey)
    await client.delete(MARK, KEY, SCORES)
    yield client
    await client.aclose()


async def test_commands_and_mark_are_written_together_with_any_bytes(redis: Redis):
    payload = bytes(range(256))
    commands = [("SET", KEY, payload, "EX", 100), ("ZADD", SCORES, 1e9 / 3, 7)]
    await Committer(redis).commit(MARK, b"", b"\x93\x00first", commands)
    assert await redis.get(KEY) == payload
    assert await redis.zscore(SCORES, 7) == 1e9 / 3
    assert await redis.get(MARK) == b"\x93\x00first"


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
