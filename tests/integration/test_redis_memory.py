"""What `reelstream status` says of Redis' memory, against what a real Redis holds."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from online_models.event_ids import BLOCK_IDS, BLOCKS
from reelstream import redis_memory
from schemas import keys, marks
from schemas.factors import Snapshot, encode_snapshot
from schemas.models import ModelVersion, encode_version
from schemas.trending import ALL

PARTITIONS = 2
COUNTS = {"users": 4_000, "profiles": 100, "item states": 1_000, "neighbours": 900, "post rows": 1_000}
NAMES = {"users": keys.user_state, "profiles": keys.user_profile, "item states": keys.item_state,
         "neighbours": keys.neighbours, "post rows": keys.post_row}  # fmt: skip
SIZES = {"users": 470, "profiles": 90, "item states": 70, "neighbours": 800, "post rows": 400}


async def used(redis: Redis) -> int:
    return (await redis.info("memory"))["used_memory"]


@pytest_asyncio.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    """A database of its own, filled; `before` is what the server used without it."""
    client = Redis.from_url(f"{valkey.rsplit('/', 1)[0]}/11")
    await client.flushdb(asynchronous=False)
    client.before = await used(client)
    pipeline = client.pipeline(transaction=False)
    for kind, count in COUNTS.items():
        for number in range(count):
            name = f"u}}:ids:{number}" if kind in ("users", "profiles") else number
            pipeline.set(NAMES[kind](number % PARTITIONS, name), b"x" * SIZES[kind], ex=None if number % 2 else 9_999)
    await pipeline.execute()
    yield client
    await client.flushdb(asynchronous=False)
    await client.aclose()


async def add_the_few(redis: Redis) -> None:
    for partition in range(PARTITIONS):
        await redis.set(
            keys.interactions_mark(partition), marks.encode(marks.InteractionsMark("generation", "log", 9, 20))
        )
        for block in range(20 - BLOCKS + 1, 21):
            await redis.append(keys.event_ids(partition, block), b"12345678" * (BLOCK_IDS // 64))
        await redis.sadd(keys.post_ids(partition), *range(500))
        for size in (*[80] * 8, *[8_000] * 60):
            await redis.xadd(keys.item_changes(partition), {"rows": b"x" * size})
        await redis.sadd(keys.categories(partition), "Flic")
        for category in ("Flic", ALL):
            await redis.zadd(keys.trending(partition, "24h", category), {str(post): post / 7 for post in range(300)})
    version = ModelVersion(model="svd", version="v1", created_at=0.0, dim=8, items=9, chunks=1, metrics={})
    await redis.set(keys.model_current("svd"), encode_version(version))
    await redis.set(keys.model_chunk("svd", "v1", 0), b"x" * 9_000)
    await redis.hset(keys.LEARNER_VECTORS, mapping={str(post): b"x" * 64 for post in range(500)})
    await redis.xadd(keys.LEARNER_CHANGES, {"ids": b"x" * 80})
    snapshot = Snapshot(version=3, at=0.0, log="log", offset=9, chunks=2, digest="")
    await redis.set(keys.LEARNER_SNAPSHOT, encode_snapshot(snapshot))
    for chunk in range(2):
        await redis.set(keys.learner_snapshot(3, chunk), b"x" * 9_000)
    await redis.set(keys.learnt_user(-7), b"x" * 64)
    await redis.zadd(keys.WORKERS, {"learn-0": 1.0})
    await redis.set("somebody:else", "x")


async def test_every_kind_is_counted_and_the_bytes_are_what_redis_uses(redis: Redis):
    await add_the_few(redis)
    found = await redis_memory.measure(redis, PARTITIONS)
    few = {"event ids": 2 * BLOCKS, "post ids": 2, "change streams": 2, "trending": 6, "marks": 2, "models": 2,
           "learnt posts": 2, "learner snapshot": 3, "learnt users": 1, "heartbeats": 1, "others": 1}  # fmt: skip
    assert {kind: weight.keys for kind, weight in found.kinds.items()} == COUNTS | few
    assert found.exact
    assert found.keys == await redis.dbsize() == sum((COUNTS | few).values())
    total = sum(weight.bytes for weight in found.kinds.values())
    assert total == pytest.approx(await used(redis) - redis.before, rel=0.1)
    assert found.used == pytest.approx(await used(redis), rel=0.1)
    by_size = [weight.bytes for weight in found.kinds.values()]
    assert by_size == sorted(by_size, reverse=True)
    assert 500 < found.kinds["users"].bytes / COUNTS["users"] < 700
    assert found.kinds["event ids"].bytes >= 2 * BLOCKS * BLOCK_IDS // 8
    assert msgspec.json.decode(msgspec.json.encode(found), type=redis_memory.RedisMemory) == found


async def test_a_part_of_a_big_redis_stands_for_all_of_it(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    await add_the_few(redis)
    monkeypatch.setattr(redis_memory, "MOST_SCANNED", 2_000)
    found = await redis_memory.measure(redis, PARTITIONS)
    assert not found.exact
    assert found.kinds["event ids"].keys == 2 * BLOCKS  # asked for by name, so none is missed
    for kind in ("users", "item states", "neighbours", "post rows"):
        assert found.kinds[kind].keys == pytest.approx(COUNTS[kind], rel=0.3)
    total = sum(weight.bytes for weight in found.kinds.values())
    assert total == pytest.approx(await used(redis) - redis.before, rel=0.1)


async def test_a_big_redis_gets_no_more_commands_than_a_small_one(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_memory, "MOST_SCANNED", 1_000)
    monkeypatch.setattr(redis_memory, "MOST_ASKED", 50)
    asked = []
    for _ in range(2):
        before = (await redis.info("stats"))["total_commands_processed"]
        await redis_memory.measure(redis, PARTITIONS)
        asked.append((await redis.info("stats"))["total_commands_processed"] - before)
        pipeline = redis.pipeline(transaction=False)
        for number in range(10_000, 20_000):
            pipeline.set(keys.user_state(0, f"more{number}"), b"x")
        await pipeline.execute()
    assert asked[1] <= asked[0] + 20


async def test_an_empty_redis_has_no_kinds(redis: Redis):
    await redis.flushdb(asynchronous=False)
    found = await redis_memory.measure(redis, PARTITIONS)
    assert (found.keys, found.kinds, found.exact) == (0, {}, True)
