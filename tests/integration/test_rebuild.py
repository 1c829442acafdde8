"""The state in Redis lost, rebuilt by hand, or left to the record: afterwards it equals what it was."""

import asyncio
import json
import os
import random
import re
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from live_system import PARTITIONS, Client, System, client, event, eventually, running_system
from redis.asyncio import Redis

from schemas import generation, keys, posts
from schemas.item_state import ItemState, Neighbours
from schemas.topics import owner
from schemas.user_state import UserState

BASE = 9_700_000
DECODE = {
    "user": UserState.decode, "item": ItemState.decode, "neighbours": Neighbours.decode, "profile": json.loads,
    "post": lambda value: {**msgspec.structs.asdict(posts.decode(value)), "item": json.loads(posts.decode(value).item)},
}  # fmt: skip
"""JSON as objects: PostgreSQL keeps no order of their fields."""


@pytest.fixture(scope="module")
def system(own_kafka: str, valkey: str, postgres: str) -> Iterator[System]:
    with running_system(own_kafka, valkey, postgres, 10) as system:
        yield system


async def dump(redis: Redis) -> dict[str, dict[str, Any]]:
    """The state by kind: key → what it says."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in (*DECODE, "posts")}
    async for key in redis.scan_iter(f"{keys.PREFIX}{{*", count=1000):
        match = re.match(rf"{keys.PREFIX}{{\w+}}:(\w+)", key.decode())
        kind = match[1] if match else ""
        if kind == "posts" and key.decode().endswith(":posts"):
            found[kind][key] = await redis.smembers(key)
        elif kind in DECODE:
            found[kind][key] = DECODE[kind](await redis.get(key))
    return found


def assert_same(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> None:
    for kind in before:
        assert before[kind].keys() == after[kind].keys(), kind
    for kind in ("user", "post", "profile", "posts"):
        assert before[kind] == after[kind], kind
    for key, item in before["item"].items():
        again = after["item"][key]
        assert (again.counts, again.category, again.known, again.at) == (
            item.counts,
            item.category,
            item.known,
            item.at,
        )
        assert again.decayed == pytest.approx(item.decayed, rel=1e-6)
        assert again.strength == pytest.approx(item.strength, rel=1e-6)
    for key, row in before["neighbours"].items():
        assert after["neighbours"][key].weights == pytest.approx(row.weights, rel=1e-5)


async def settled(here: Client) -> dict[str, dict[str, Any]]:
    """The state once nothing changes it any more."""
    before = await dump(here.redis)
    while True:
        await asyncio.sleep(1.0)
        after = await dump(here.redis)
        if after == before:
            return after
        before = after


async def load(here: Client, seed: int, count: int) -> list[str]:
    """Events of all sorts, some where they don't belong; returns their ids."""
    rng = random.Random(seed)
    ids = []
    for number in range(count):
        username, post_id = f"rebuilt-{rng.randrange(20)}", BASE + rng.randrange(40)
        kind = rng.choice(["view", "like", "share", "not_interested", "report"])
        value = 0.0 if kind == "like" and rng.random() < 0.3 else 1.0
        sent = event(username, post_id, kind, value, event_id=f"{seed}-{number}")
        if rng.random() < 0.5:
            sent["occurred_at"] = f"2026-11-{rng.randrange(1, 20):02d}T12:00:00Z"
        ids.append(str(sent["event_id"]))
        await here.send(sent, key=username, partition=rng.randrange(PARTITIONS) if number % 7 == 0 else None)
    return ids


async def publish_posts(here: Client) -> None:
    for post_id in range(BASE, BASE + 30):
        row = f'{{"id": {post_id}, "title": "Post", "category": {{"id": 2, "name": "Vible"}}, "username": "ann"}}'
        await here.producer.send_and_wait("posts", row.encode(), key=str(post_id).encode())
    await here.producer.send_and_wait("posts", None, key=str(BASE + 3).encode())
    await here.producer.send_and_wait("users", b'{"username": "rebuilt-1", "bio": "runs"}', key=b"rebuilt-1")


async def all_recorded(here: Client, ids: list[str]) -> None:
    async for attempt in eventually():
        with attempt:
            count = "SELECT count(*) FROM interactions WHERE event_id = ANY($1::text[])"
            assert await here.record.fetchval(count, ids) == len(ids)


async def ready_after(redis: Redis, former: str) -> None:
    async for attempt in eventually():
        with attempt:
            found = generation.decode(await redis.get(keys.GENERATION))
            assert found is not None
            assert found.ready
            assert found.id != former


async def generation_id(redis: Redis) -> str:
    found = generation.decode(await redis.get(keys.GENERATION))
    return found.id if found else ""


async def test_a_rebuild_by_hand_ends_in_the_same_state_and_still_knows_the_event_ids(system: System):
    async with client(system) as here:
        await publish_posts(here)
        await all_recorded(here, await load(here, 1, 800))
        before, former = await settled(here), await generation_id(here.redis)
        assert len(before["user"]) == 20
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reelstream", "rebuild", env={**os.environ, **system.environment},
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()
        assert b"built from 800 recorded events" in b" ".join(said.split())
        await ready_after(here.redis, former)
        assert_same(before, await settled(here))
        await load(here, 1, 800)
        assert_same(before, await settled(here))


async def test_an_emptied_redis_is_noticed_and_rebuilt_while_events_come_in(system: System):
    async with client(system) as here:
        before, former = await settled(here), await generation_id(here.redis)
        publishing = asyncio.create_task(load(here, 2, 1500))
        for _ in range(3):
            await asyncio.sleep(1.0)
            await here.redis.flushdb()
        ids = await publishing
        await all_recorded(here, ids)
        await ready_after(here.redis, former)
        count = 1500 + sum(each.events for each in before["user"].values())
        async for attempt in eventually():  # an agent that waits for its next attempt looks settled
            with attempt:
                through_losses = await settled(here)
                assert sum(each.events for each in through_losses["user"].values()) == count
        await here.redis.flushdb()
        await ready_after(here.redis, await generation_id(here.redis))
        assert_same(through_losses, await settled(here))


async def test_a_part_of_the_state_that_is_lost_is_noticed_too(system: System):
    async with client(system) as here:
        before, former = await settled(here), await generation_id(here.redis)
        await here.redis.delete(keys.items_mark(1))
        await ready_after(here.redis, former)
        assert_same(before, await settled(here))


async def test_a_redis_that_came_back_older_reads_the_log_again(system: System):
    """As after a fail-over to a replica: everything is an hour old, marks included."""
    async with client(system) as here:
        await settled(here)
        older = {key: await here.redis.dump(key) async for key in here.redis.scan_iter(f"{keys.PREFIX}{{*")}
        ids = await load(here, 3, 600)
        await all_recorded(here, ids)
        expected = await settled(here)
        async with here.redis.pipeline(transaction=True) as pipeline:
            for key in [key async for key in here.redis.scan_iter(f"{keys.PREFIX}{{*")]:
                pipeline.delete(key)
            for key, value in older.items():
                pipeline.restore(key, 0, value, replace=True)
            await pipeline.execute()
        nudges = [event(next(f"n{n}" for n in range(99) if owner(f"n{n}", PARTITIONS) == p), BASE) for p in range(4)]
        for each in nudges:
            await here.send(each, key=str(each["username"]))
        async for attempt in eventually():
            with attempt:
                state = await dump(here.redis)
                for key, user in expected["user"].items():
                    assert state["user"][key] == user
