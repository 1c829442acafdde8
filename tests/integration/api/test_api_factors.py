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
from api.serving import cancel
from online_models.blend import HIDDEN
from online_models.features import FEATURES
from online_models.post_table import TAG_CODES
from online_models.recommender import Changed
from schemas import keys, learnt
from schemas.learnt import Weights, encode_weights
from streams.commit import Committer
from streams.learner_store import LearnerStore
from streams.redis import connect


def changed(posts: dict[int, float], *gone: int, dim: int = 2) -> Changed:
    """Records of posts, of which all numbers are the one given."""
    records = np.ones(len(posts), learnt.post_type(5 * dim + 3))
    records["vectors"] = np.array([*posts.values()])[:, None]
    records["total"] = [*posts.values()]
    return Changed(np.array([*posts], np.int64), records, np.array(gone, np.int64))


def weights(mean_value: float, features: tuple[str, ...] = FEATURES) -> bytes:
    width = len(features)
    inner, outer = np.zeros((HIDDEN, width + 1), np.float32), np.zeros(HIDDEN, np.float32)
    shares = np.ones(TAG_CODES, np.float32)
    return encode_weights(Weights([*features], np.ones(width, np.float32), inner, outer, shares, mean_value, 1.0))


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
    try:
        yield factors
    finally:
        await cancel([running])
        await opened.aclose()


def known(factors: Factors) -> dict[int, float]:
    catalogue = factors._mirror.catalogue
    online = factors.of(catalogue)
    if online is None:
        return {}
    posts = online.posts
    assert not posts.outputs[2][~posts.known].any()
    for array in (*posts.inputs, *posts.outputs):
        assert (array == posts.total[:, None]).all()
    for array in posts.bias:
        assert (array == posts.total).all()
    return {int(catalogue.ids[slot]): float(posts.total[slot]) for slot in np.flatnonzero(posts.known)}


def is_now(factors: Factors, expected: dict[int, float], mean_value: float) -> Any:
    async def same() -> bool:
        weights = factors.weights
        told = weights is not None and weights.mean_value == mean_value
        return known(factors) == expected and told and factors.problem is None

    return same


async def test_vectors_and_weights_are_loaded_and_then_followed(redis: Redis, valkey: str, until: Any) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: 1.0, 4: 0.5}), weights(0.1), whole=True)
    async with following(valkey) as factors:
        await until(is_now(factors, {3: 1.0, 4: 0.5}, 0.1))
        version = factors.version
        await store.publish(changed({9: 7.0, 4: -1.0}, 3), weights(0.2), whole=False)
        await until(is_now(factors, {9: 7.0, 4: -1.0}, 0.2))
        assert factors.version > version
        many = {post_id: 1.0 + post_id % 50 for post_id in range(1, 5_001)}
        await store.publish(changed(many), weights(0.3), whole=True)
        await until(is_now(factors, many, 0.3))


async def test_an_emptied_redis_leaves_them_and_another_width_replaces_them(
    redis: Redis, valkey: str, until: Any
) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: 1.0}), weights(0.4), whole=True)
    async with following(valkey) as factors:
        await until(is_now(factors, {3: 1.0}, 0.4))
        await redis.flushdb()

        async def noticed() -> bool:
            return factors.problem is not None

        await until(noticed)
        assert known(factors) == {3: 1.0}
        store = await claimed(redis)
        await store.publish(changed({3: 1.0, 5: 0.0}, dim=3), weights(0.5), whole=True)
        await until(is_now(factors, {3: 1.0, 5: 0.0}, 0.5))
        heir = await claimed(redis)
        await heir.publish(changed({5: 1.0}, dim=1), weights(0.6), whole=True)
        await until(is_now(factors, {5: 1.0}, 0.6))


async def test_nothing_is_loaded_before_the_mirror_has_posts(redis: Redis, valkey: str, until: Any) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: 1.0}), weights(0.4), whole=True)
    async with following(valkey) as factors:
        factors._mirror.catalogue = Catalogue()
        await asyncio.sleep(1.2)
        assert factors._mirror.catalogue.size == 0
        factors._mirror.catalogue.slot(3)
        await until(is_now(factors, {3: 1.0}, 0.4))


async def test_a_stream_that_was_trimmed_makes_it_load_again(redis: Redis, valkey: str, until: Any) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: 1.0}), weights(0.4), whole=True)
    async with following(valkey) as factors:
        await until(is_now(factors, {3: 1.0}, 0.4))
        await store.publish(changed({4: 1.0}), weights(0.4), whole=False)
        await redis.xtrim(keys.LEARNER_CHANGES, 0, approximate=False)
        await until(is_now(factors, {3: 1.0, 4: 1.0}, 0.4))


async def test_vectors_move_with_their_posts_when_the_catalogue_is_exchanged(
    redis: Redis, valkey: str, until: Any
) -> None:
    store = await claimed(redis)
    both = changed({3: 1.0, 4: 2.0})
    both.records["followers"] = [[4] + [0] * (learnt.FOLLOWERS - 1), [0] * learnt.FOLLOWERS]
    await store.publish(both, weights(0.4), whole=True)
    async with following(valkey) as factors:
        factors._mirror.catalogue.slot(4)
        await until(is_now(factors, {3: 1.0, 4: 2.0}, 0.4))
        other = Catalogue(2)
        for post_id in (9, 4, 8):
            other.slot(post_id)
        factors._mirror.catalogue = other
        assert known(factors) == {}
        await until(is_now(factors, {3: 1.0, 4: 2.0}, 0.4))
        other.slot(77)
        online = factors.of(other)
        assert online is not None
        assert len(online.posts.known) == len(other.ids)
        assert online.posts.known[: other.size].tolist() == [False, True, False, True, False]
        first = other.slots[3]
        assert known_followers(factors, first) == {4}


def known_followers(factors: Factors, slot: int) -> set[int]:
    online = factors.of(factors._mirror.catalogue)
    assert online is not None
    return {int(factors._mirror.catalogue.ids[near]) for near in online.posts.followers[slot] if near >= 0}


async def test_weights_of_another_version_are_left_out(redis: Redis, valkey: str, until: Any) -> None:
    store = await claimed(redis)
    await store.publish(changed({3: 1.0}), weights(0.4, features=("other",)), whole=True)
    async with following(valkey) as factors:

        async def loaded() -> bool:
            return factors.problem is None

        await until(loaded)
        assert factors.of(factors._mirror.catalogue) is None
        await store.publish(changed({}), b"nothing", whole=False)
        await store.publish(changed({}), weights(0.5), whole=False)
        await until(is_now(factors, {3: 1.0}, 0.5))
