"""Reads of many requests over one connection: whole, in order, and back after it broke."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from api.reads import Reads


@pytest.fixture
def written(valkey: str) -> Redis:
    """A database of our own."""
    redis = Redis.from_url(valkey.rsplit("/", 1)[0] + "/6", protocol=2)
    redis.flushdb()
    redis.mset({f"k{number}": b"v" * number for number in range(100)})
    redis.lpush("list", "x")
    return redis


@pytest.fixture
async def reads(valkey: str, written: Redis) -> AsyncIterator[Reads]:
    reads = Reads(valkey.rsplit("/", 1)[0] + "/6", 1.0)
    yield reads
    await reads.close()
    written.flushdb()
    written.close()


async def test_each_of_many_gets_its_own_values(reads: Reads) -> None:
    asked = [(f"k{number}", "none", f"k{99 - number}") for number in range(100)]
    answers = await asyncio.gather(*(reads.get_many(keys) for keys in asked))
    assert answers == [[b"v" * number, None, b"v" * (99 - number)] for number in range(100)]


async def test_what_redis_refuses_is_raised_and_the_next_answer_is_the_right_one(reads: Reads) -> None:
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await reads.get_many(["list", "k1"])
    assert await reads.get_many(["k2"]) == [b"vv"]


async def test_a_connection_that_breaks_is_opened_again_also_under_requests(reads: Reads, written: Redis) -> None:
    assert await reads.get_many(["k1"]) == [b"v"]
    for _ in range(3):
        ours = [client["id"] for client in written.client_list() if client["cmd"] == "get"]
        for client in ours:
            written.client_kill_filter(_id=client)
        answers = await asyncio.gather(*(reads.get_many(["k3"]) for _ in range(20)))
        assert answers == [[b"vvv"]] * 20


async def test_one_who_gives_up_takes_nobody_elses_answer(reads: Reads, written: Redis) -> None:
    await reads.get_many(["k1"])
    written.execute_command("CLIENT", "PAUSE", "100", "ALL")
    given_up = asyncio.create_task(reads.get_many(["k1"]))
    patient = asyncio.create_task(reads.get_many(["k2"]))
    await asyncio.sleep(0.01)
    given_up.cancel()
    assert await patient == [b"vv"]
    assert await reads.get_many(["k3"]) == [b"vvv"]


async def test_who_waits_too_long_is_told_so_and_the_next_one_gets_the_right_answer(
    valkey: str, written: Redis
) -> None:
    reads = Reads(valkey.rsplit("/", 1)[0] + "/6", 0.05)
    await reads.get_many(["k1"])
    written.execute_command("CLIENT", "PAUSE", "150", "ALL")
    outcomes = await asyncio.gather(*(reads.get_many(["k1", "k2"]) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 3
    await asyncio.sleep(0.15)
    assert await reads.get_many(["k3", "none"]) == [b"vvv", None]
    await reads.close()


async def test_where_nobody_listens_it_says_so(free_port: object) -> None:
    reads = Reads(f"redis://127.0.0.1:{free_port()}/0", 1.0)  # type: ignore[operator]
    with pytest.raises((RedisError, OSError)):
        await reads.get_many(["k1"])
    await reads.close()
