"""What the API keeps of the learner, against a real Valkey that the learner's own store writes to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from api.catalogue import Catalogue
from api.factors import Factors
from api.metrics import Metrics
from api.mirror import Mirror
from api.redis import connection
from online_models.recommender import Changed
from schemas import keys
from streams.commit import Committer
from streams.learner_store import LearnerStore
from streams.redis import connect


def changed(vectors: dict[int, list[float]], *gone: int) -> Changed:
    rows = np.array([*vectors.values()], np.float16).reshape(len(vectors), -1)
    return Changed(np.array([*vectors], np.int64), rows, np.array(gone, np.int64))


@pytest.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    opened = connect(valkey.rsplit("/", 1)[0] + "/7")
    await opened.flushdb()
    yield opened
    await opened.aclose()


async def claimed(redis: Redis) -> LearnerStore:
    store = LearnerStore(redis, Committer(redis), None)
    await store.claim()
    return store


@asynccontextmanager
async def following(valkey: str) -> AsyncIterator[Factors]:
    opened = connection(valkey.rsplit("/", 1)[0] + "/7", 5.0)
    factors = Factors(opened, Mirror(opened, 1, Metrics()))
    factors._mirror.catalogue.slot(1)
    running = asyncio.create_task(factors.run())
    yield factors
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await opened.aclose()


def known(factors: Factors) -> dict[int, list[float]]:
    catalogue = factors._mirror.catalogue
    vectors, has = factors.of(catalogue)
    assert not vectors[~has].any()
    return {int(catalogue.ids[slot]): vectors[slot].tolist() for slot in np.flatnonzero(has)}


def is_now(factors: Factors, expected: dict[int, list[float]], weights: bytes) -> Any:
    async def same() -> bool:
        return known(factors) == expected and factors.weights == weights and factors.problem is None

    return same


async def test_vectors_and_weights_are_loaded_and_then_followed(redis: Redis, valkey: str, until: Any) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: [1.0, 2.0], 4: [0.5, -1.0]}), b"w1", whole=True)
    async with following(valkey) as factors:
        await until(is_now(factors, {3: [1.0, 2.0], 4: [0.5, -1.0]}, b"w1"))
        version = factors.version
        await store.publish(changed({9: [7.0, 0.0], 4: [0.0, 1.0]}, 3), b"w2", whole=False)
        await until(is_now(factors, {9: [7.0, 0.0], 4: [0.0, 1.0]}, b"w2"))
        assert factors.version > version
        many = {post_id: [float(post_id % 50), 1.0] for post_id in range(1, 5_001)}
        await store.publish(changed(many), b"w3", whole=True)
        await until(is_now(factors, many, b"w3"))


async def test_an_emptied_redis_leaves_them_and_another_width_replaces_them(
    redis: Redis, valkey: str, until: Any
) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: [1.0, 2.0]}), b"w", whole=True)
    async with following(valkey) as factors:
        await until(is_now(factors, {3: [1.0, 2.0]}, b"w"))
        await redis.flushdb()

        async def noticed() -> bool:
            return factors.problem is not None

        await until(noticed)
        assert known(factors) == {3: [1.0, 2.0]}
        store = await claimed(redis)
        await store.publish(changed({3: [1.0, 2.0, 3.0], 5: [0.0, 0.0, 1.0]}), b"v", whole=True)
        await until(is_now(factors, {3: [1.0, 2.0, 3.0], 5: [0.0, 0.0, 1.0]}, b"v"))
        heir = await claimed(redis)
        await heir.publish(changed({5: [1.0]}), b"u", whole=True)
        await until(is_now(factors, {5: [1.0]}, b"u"))


async def test_nothing_is_loaded_before_the_mirror_has_posts(redis: Redis, valkey: str, until: Any) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: [1.0]}), b"w", whole=True)
    async with following(valkey) as factors:
        factors._mirror.catalogue = Catalogue()
        await asyncio.sleep(1.2)
        assert factors._mirror.catalogue.size == 0
        factors._mirror.catalogue.slot(3)
        await until(is_now(factors, {3: [1.0]}, b"w"))


async def test_a_stream_that_was_trimmed_makes_it_load_again(redis: Redis, valkey: str, until: Any) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: [1.0]}), b"w", whole=True)
    async with following(valkey) as factors:
        await until(is_now(factors, {3: [1.0]}, b"w"))
        await store.publish(changed({4: [1.0]}), b"w", whole=False)
        await redis.xtrim(keys.LEARNER_CHANGES, 0, approximate=False)
        await until(is_now(factors, {3: [1.0], 4: [1.0]}, b"w"))


async def test_vectors_move_with_their_posts_when_the_catalogue_is_exchanged(
    redis: Redis, valkey: str, until: Any
) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: [1.0], 4: [2.0]}), b"w", whole=True)
    async with following(valkey) as factors:
        await until(is_now(factors, {3: [1.0], 4: [2.0]}, b"w"))
        other = Catalogue(2)
        for post_id in (9, 4, 8):
            other.slot(post_id)
        factors._mirror.catalogue = other
        assert known(factors) == {}
        await until(is_now(factors, {3: [1.0], 4: [2.0]}, b"w"))
        other.slot(77)
        vectors, has = factors.of(other)
        assert (len(vectors), has.tolist()) == (other.size, [False, True, False, True, False])
