"""One owner of what is learnt at a time, on a real Redis and PostgreSQL; and what its models do with bad luck."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import asyncpg
import numpy as np
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAway

from api.catalogue import Catalogue
from api.factors import Factors
from online_models.recommender import Changed, Recommender
from schemas import ease, factors, keys, learning, learnt, topics
from schemas.learning import LearningBatch, LearningMessage, Shown
from streams import learner_record
from streams.batches import Conflict
from streams.commit import Committer
from streams.learner_models import LATE_STEP, MINIBATCH, LearnerModels
from streams.learner_store import ORPHAN_SECONDS, LearnerStore
from streams.progress import Progress
from streams.record import Record
from streams.redis import connect

NOW = 4e9
"""A time at which no message is late."""


@pytest.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    opened = connect(valkey.rsplit("/", 1)[0] + "/12")
    await opened.flushdb()
    yield opened
    await opened.aclose()


@pytest.fixture
async def pool(postgres: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(postgres, min_size=0) as opened:
        await opened.execute("TRUNCATE learner_snapshots")
        yield opened


def services_of(redis: Redis, pool: asyncpg.Pool | None, log: str = "log") -> Any:
    return SimpleNamespace(
        redis=redis, committer=Committer(redis), pool=pool, progress=Progress(), log_ids={topics.LEARNING: log}
    )


def batch_of(*posts: int) -> LearningBatch:
    n = len(posts)
    zeros, ones = np.zeros(n, np.int64), np.ones(n)
    return LearningBatch(
        zeros, np.array(posts), ones, zeros, zeros, ones, ones, ones, ones.astype(np.bool_), zeros, ones,
        np.zeros(n + 1, np.int32), np.empty(0, np.int64), np.empty(0, np.int32),
    )  # fmt: skip


def message(offset: int, *posts: int, at: float = NOW) -> Record:
    return Record("learning", 0, offset, at, None, learning.encode(LearningMessage(batch_of(*posts), [])))


def record(post_id: int) -> Changed:
    return Changed(np.array([post_id]), np.ones(1, learnt.post_type(8)))


def learner_weights() -> bytes:
    return Recommender(capacity=10, users=10).weights()


def acted(*users: int, strangers: tuple[int, ...] = ()) -> Changed:
    own = np.ones((len(users), 4 + learnt.RATING), np.float16)
    nobody = np.empty(0, np.int64)
    nothing, who = np.ones(0, learnt.post_type(8)), np.array(users, np.int64)
    return Changed(nobody, nothing, nobody, who, own, np.array(strangers, np.int64))


async def published(redis: Redis) -> set[int]:
    return {int(field) for field in await redis.hkeys(keys.LEARNER_VECTORS)}


async def test_whoever_was_the_learner_before_overwrites_nothing(redis: Redis):
    zombie, heir = [LearnerStore(redis, Committer(redis), None) for _ in range(2)]
    await zombie.claim()
    await zombie.publish(record(1), b"old", whole=True)
    await heir.claim()
    await heir.publish(record(2), b"new", whole=True)
    await heir.save([b"new"], "log", 5)
    for attempt in (zombie.publish(record(3), b"late", whole=False), zombie.save([b"late"], "log", 4)):
        with pytest.raises(Conflict):
            await attempt
    with pytest.raises(Conflict):
        await zombie.publish(acted(), b"old", whole=False)
    assert await zombie.superseded()
    assert await published(redis) == {2}
    assert await redis.get(keys.LEARNER_WEIGHTS) == b"new"
    assert factors.decode_snapshot(await redis.get(keys.LEARNER_SNAPSHOT)).offset == 5


async def test_a_user_has_a_vector_until_the_model_drops_them(redis: Redis):
    store = LearnerStore(redis, Committer(redis), None)
    await store.claim()
    await store.publish(acted(-5, 7), b"w", whole=False)
    assert learnt.decode_user(await redis.get(keys.learnt_user(-5)), 4).tolist() == [1.0] * (4 + learnt.RATING)
    assert learnt.decode_user(await redis.get(keys.learnt_user(-5)), 5) is None
    assert 0 < await redis.ttl(keys.learnt_user(7)) <= keys.LEARNT_USER_TTL_SECONDS
    await store.publish(acted(strangers=(7,)), b"w", whole=False)
    assert await redis.exists(keys.learnt_user(-5), keys.learnt_user(7)) == 1
    await LearnerStore(redis, Committer(redis), None).claim()
    with pytest.raises(Conflict):
        await store.publish(acted(8), b"w", whole=False)
    assert not await redis.exists(keys.learnt_user(8))


async def test_feeds_are_told_of_a_solution_of_ease_and_of_none(redis: Redis):
    store, mirror = LearnerStore(redis, Committer(redis), None), SimpleNamespace(catalogue=Catalogue())
    slot = mirror.catalogue.slot(5)
    await store.claim()
    await store.publish(record(5), learner_weights(), whole=True)
    feeds = Factors(redis, mirror)  # type: ignore[arg-type]
    place = await feeds._load()
    assert place is not None
    assert feeds.of(mirror.catalogue).ease is None  # type: ignore[union-attr]
    said = np.array([[0.0, 0.5], [0.25, 0.0]], np.float32)
    solved = record(5)._replace(ease=ease.encode(np.array([5, 6]), said))
    await store.publish(solved, learner_weights(), whole=False)
    followed = await feeds._follow(place)
    for loaded in (False, True):
        place = await feeds._load() if loaded else followed
        known = feeds.of(mirror.catalogue).ease  # type: ignore[union-attr]
        assert known is not None
        assert known.scores(np.array([slot], np.int32)) == pytest.approx([0.0, 0.5], abs=1e-4)
    former = mirror.catalogue
    mirror.catalogue = Catalogue()
    mirror.catalogue.slot(7)
    place = await feeds._follow(place)  # type: ignore[arg-type]
    moved = feeds.of(mirror.catalogue).ease  # type: ignore[union-attr]
    assert mirror.catalogue.ids[moved.slots].tolist() == former.ids[known.slots].tolist() == [5, 6]
    await store.publish(record(5), learner_weights(), whole=True)
    await feeds._follow(place)
    assert feeds.of(mirror.catalogue).ease is None, "a learner that begins anew has none"  # type: ignore[union-attr]


async def test_a_snapshot_replaces_the_one_before_and_a_half_one_expires(redis: Redis):
    store = LearnerStore(redis, Committer(redis), None)
    await store.claim()
    first = await store.save([b"a", b"b"], "log", 1)
    second = await store.save([b"c"], "log", 2)
    assert not await redis.exists(*(keys.learner_snapshot(first.version, chunk) for chunk in range(2)))
    assert await redis.ttl(keys.learner_snapshot(second.version, 0)) == -1
    await LearnerStore(redis, Committer(redis), None).claim()
    with pytest.raises(Conflict):
        await store.save([b"d"], "log", 3)
    lives = [await redis.ttl(key) async for key in redis.scan_iter(f"{keys.PREFIX}{{learner}}:v:*")]
    kept, orphan = sorted(lives)
    assert kept == -1
    assert 0 < orphan <= ORPHAN_SECONDS


async def test_the_newest_snapshot_that_can_be_read_is_resumed_from(redis: Redis, pool: asyncpg.Pool):
    services = services_of(redis, pool)
    models = await LearnerModels.load(services)
    for offset in range(4):
        await models.learn([message(offset, 100 + offset)])
        await models.save(recorded=offset < 3)
    assert await pool.fetchval("SELECT count(DISTINCT version) FROM learner_snapshots") == learner_record.KEPT
    assert (await LearnerModels.load(services)).applied == 3
    newest = factors.decode_snapshot(await redis.get(keys.LEARNER_SNAPSHOT))
    await redis.set(keys.learner_snapshot(newest.version, 0), b"spoilt")
    recorded = await LearnerModels.load(services)
    assert recorded.applied == 2
    await recorded.publish()
    assert await published(redis) == {100, 101, 102}
    await redis.flushdb()
    assert (await LearnerModels.load(services)).applied == 2
    assert (await LearnerModels.load(services_of(redis, pool, "a log made anew"))).applied == -1


async def test_pages_that_come_late_open_no_list(redis: Redis):
    services = services_of(redis, None)
    models = await LearnerModels.load(services)
    pages = [Shown(1, time.time() - age, 0, [7, 8], {}) for age in (1.0, 3_600.0, 86_400.0)]
    await models.learn([Record("learning", 0, 0, NOW, None, learning.encode(LearningMessage(None, [], pages)))])
    await models.publish()
    assert models.metrics["pages_shown"] == 1.0
    assert services.progress.counters["late_pages"] == 2


async def test_what_redis_lost_is_published_again_and_so_is_what_did_not_arrive(redis: Redis):
    models = await LearnerModels.load(services_of(redis, None))
    await models.learn([message(0, 1, 2)])
    await models.publish()
    await redis.flushdb()
    await models.publish()
    await models.publish()
    assert await published(redis) == {1, 2}
    await models.learn([message(1, 3)])
    with unanswering(models._store._committer), pytest.raises(RedisAway):
        await models.publish()
    await models.publish()
    assert await published(redis) == {1, 2, 3}


@contextmanager
def unanswering(committer: Committer) -> Iterator[None]:
    script = committer._script

    async def away(**_: object) -> None:
        raise RedisAway

    committer._script = away
    yield
    committer._script = script


async def test_what_waited_too_long_is_sampled_and_what_models_fail_at_is_left_out(redis: Redis):
    services = services_of(redis, None)
    models = await LearnerModels.load(services)
    await models.learn([message(0, *range(1, 81), at=1e9), message(1, *range(1, 81))])
    counted = {"sampled_out": 80 - 80 // LATE_STEP, "learnt": 80 + 80 // LATE_STEP, "late_pages": 0}
    assert services.progress.counters == counted

    class Failing(Recommender):
        def learn_many(self, batch: LearningBatch) -> None:
            if 666 in batch.post_id:
                raise ZeroDivisionError
            super().learn_many(batch)

    models._recommender = Failing()
    full = [message(3 + number, *([7] * 1_000)) for number in range(MINIBATCH // 1_000)]
    refused = await models.learn([message(2, *([666] * 1_000)), message(2, *([1] * 1_000)), *full])
    assert (refused, models.applied) == ([], 4)
    assert services.progress.counters["not_learnt"] == 2_000
    assert sorted(models._recommender.sources.slots.known_ids()) == [7]
