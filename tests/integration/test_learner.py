"""The learner in a live system: what it publishes, and what it resumes from when it, or Redis, was lost."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from live_system import Client, System, client, event, eventually, running_system
from redis.asyncio import Redis

from online_models.blend import START
from online_models.click_through import WEEK
from schemas import factors, generation, heartbeat, impressions, keys, learnt, topics
from schemas.factors import LearnerMark, Snapshot
from schemas.heartbeat import Heartbeat
from schemas.impressions import Impression
from schemas.learning import user_hash

BASE = 9_900_000
POSTS = range(BASE, BASE + 10)


@pytest.fixture(scope="module")
def system(own_kafka: str, valkey: str, postgres: str) -> Iterator[System]:
    """With a log of its own: what others sent would be learnt as well, and counted."""
    with running_system(own_kafka, valkey, postgres, 1, ("learn", "models")) as system:
        yield system


async def learners(redis: Redis) -> list[Heartbeat]:
    """Workers that own the partition of the learner and are alive."""
    names = [member.decode() for member in await redis.zrange(keys.WORKERS, 0, -1)]
    beats = [heartbeat.decode(payload) for name in names if (payload := await redis.get(keys.worker(name)))]
    return [beat for beat in beats if "learning-0" in beat.partitions]


async def beating(redis: Redis) -> set[str]:
    return {name for name in ("models-0", "models-1") if await redis.exists(keys.worker(name))}


async def count_learnt(redis: Redis, pid: int) -> int:
    return sum(beat.counters.get("learnt", 0) for beat in await learners(redis) if beat.pid == pid)


async def vectors(redis: Redis) -> set[int]:
    return {int(post_id) for post_id in await redis.hkeys(keys.LEARNER_VECTORS)}


async def mark(redis: Redis) -> LearnerMark:
    return factors.decode_mark(await redis.get(keys.LEARNER_MARK))


async def snapshot(redis: Redis) -> Snapshot | None:
    return factors.decode_snapshot(await redis.get(keys.LEARNER_SNAPSHOT))


async def like(here: Client, username: str, posts: range) -> None:
    for post_id in posts:
        await here.send(event(username, post_id), key=username)


async def wait_for_vectors(redis: Redis, posts: range) -> None:
    async for attempt in eventually():
        with attempt:
            assert set(posts) <= await vectors(redis)


async def wait_for_learnt(redis: Redis, pid: int, least: int) -> None:
    async for attempt in eventually():
        with attempt:
            assert await count_learnt(redis, pid) >= least


async def test_events_become_vectors_weights_and_announcements(system: System):
    async with client(system) as here:
        async for attempt in eventually():  # what a rebuild finds recorded is not told to the learner
            with attempt:
                found = generation.decode(await here.redis.get(keys.GENERATION))
                assert found is not None
                assert found.ready
        await like(here, "learnt-1", POSTS)
        await wait_for_vectors(here.redis, POSTS)
        published = await mark(here.redis)
        sizes = {len(vector) for vector in await here.redis.hvals(keys.LEARNER_VECTORS)}
        assert sizes == {learnt.post_type(published.width).itemsize}
        async for attempt in eventually():  # weights are written after the vectors
            with attempt:
                packed = await here.redis.get(keys.LEARNER_WEIGHTS)
                assert packed is not None
        assert learnt.decode_weights(packed).features
        own = await here.redis.get(keys.learnt_user(user_hash("learnt-1")))
        assert learnt.decode_user(own, (published.width - 3) // 5) is not None
        told = b"".join(fields.get(b"ids", b"") for _, fields in await here.redis.xrange(keys.LEARNER_CHANGES))
        for post_id in POSTS:
            assert post_id.to_bytes(8, "little") in told


async def test_a_learner_that_is_stopped_goes_on_where_it_was(system: System):
    async with client(system) as here:
        before = await mark(here.redis)
        await asyncio.to_thread(system.stop, "models")
        kept = await snapshot(here.redis)
        assert kept is not None
        assert await here.record.fetchval("SELECT max(version) FROM learner_snapshots") == kept.version
        system.start("models")
        await like(here, "learnt-2", range(BASE + 20, BASE + 23))
        await wait_for_learnt(here.redis, system.workers["models"].pid, 3)
        await wait_for_vectors(here.redis, range(BASE + 20, BASE + 23))
        assert set(POSTS) <= await vectors(here.redis)
        assert await count_learnt(here.redis, system.workers["models"].pid) == 3
        assert (await mark(here.redis)).version > before.version


async def test_a_learner_that_is_killed_learns_again_what_came_after_its_snapshot(system: System):
    async with client(system) as here:
        await like(here, "learnt-3", range(BASE + 30, BASE + 35))
        await wait_for_vectors(here.redis, range(BASE + 30, BASE + 35))
        system.kill("models")
        system.start("models")
        await wait_for_learnt(here.redis, system.workers["models"].pid, 3 + 5)
        await like(here, "learnt-3", range(BASE + 35, BASE + 36))
        await wait_for_learnt(here.redis, system.workers["models"].pid, 3 + 5 + 1)
        await wait_for_vectors(here.redis, range(BASE + 30, BASE + 36))
        assert await count_learnt(here.redis, system.workers["models"].pid) == 3 + 5 + 1


async def test_a_message_that_is_none_becomes_a_dead_letter_and_the_learner_goes_on(system: System):
    async with client(system) as here:
        await here.producer.send_and_wait(topics.LEARNING, b"\xff?")
        await like(here, "learnt-4", range(BASE + 40, BASE + 42))
        await wait_for_vectors(here.redis, range(BASE + 40, BASE + 42))
        async for attempt in eventually():  # the beat comes once a second
            with attempt:
                (beat,) = await learners(here.redis)
                assert beat.counters["dead_letters"] == 1


async def test_what_was_shown_and_taken_is_counted_and_published(system: System):
    posts = [*range(BASE + 60, BASE + 64)]
    page = Impression(
        recommendation_id="learnt-6", username="learnt-6", session_id=None, served_at=time.time(), algorithm_used="svd",
        model_versions={}, position=0, posts=posts, scores=[0.5] * 4, sources=[["svd"]] * 4,
    )  # fmt: skip
    async with client(system) as here:
        await like(here, "learnt-7", range(posts[0], posts[-1] + 1))
        await wait_for_vectors(here.redis, range(posts[0], posts[-1] + 1))
        for value in (b'{"posts": 1}', impressions.encode(page), impressions.encode(page)):
            await here.producer.send_and_wait(topics.IMPRESSIONS, value, key=b"learnt-6")
        width = (await mark(here.redis)).width

        async def published() -> dict[str, list[float]]:
            records = learnt.read_posts(await here.redis.hmget(keys.LEARNER_VECTORS, posts), width)
            return {name: records[name][:, WEEK].round(2).tolist() for name in ("shown", "taken")}

        async for attempt in eventually():
            with attempt:
                assert (await published())["shown"] == pytest.approx([1.0, 0.63, 0.5, 0.43])
        await like(here, "learnt-6", range(posts[1], posts[1] + 1))
        async for attempt in eventually():
            with attempt:
                assert (await published())["taken"] == [0.0, 1.0, 0.0, 0.0]
                (beat,) = await learners(here.redis)
                assert beat.metrics["clicks"] == 1.0
                stage_1 = heartbeat.decode(await here.redis.get(keys.worker("learn-0")) or b"")
                assert stage_1.counters["dead_letters"] == 1


async def test_clicks_teach_how_much_a_batch_model_counts(system: System):
    """Twice the user takes what `knows` puts on top of a page, and `wrong` at the end."""
    posts = [*range(BASE + 70, BASE + 75)]
    page = Impression(
        recommendation_id="learnt-8", username="learnt-8", session_id=None, served_at=time.time(), algorithm_used="svd",
        model_versions={}, position=0, posts=posts[:4], scores=[0.5] * 4, sources=[["knows"]] * 4,
        outside={"knows": [-4.0, 1.0, 0.5, -2.0], "wrong": [1.0, -4.0, -3.5, 0.5]},
    )  # fmt: skip
    async with client(system) as here:
        await like(here, "learnt-9", range(posts[0], posts[-1] + 1))
        await like(here, "learnt-8", range(posts[4], posts[4] + 1))
        await wait_for_vectors(here.redis, range(posts[0], posts[-1] + 1))
        async for attempt in eventually():
            with attempt:
                (before,) = await learners(here.redis)
                assert await here.redis.exists(keys.learnt_user(user_hash("learnt-8")))
        await here.producer.send_and_wait(topics.IMPRESSIONS, impressions.encode(page), key=b"learnt-8")
        width = (await mark(here.redis)).width

        async for attempt in eventually():
            with attempt:
                records = learnt.read_posts(await here.redis.hmget(keys.LEARNER_VECTORS, posts[:1]), width)
                assert records["shown"][0, WEEK] > 0.5
        await like(here, "learnt-8", range(posts[1], posts[1] + 1))
        await like(here, "learnt-8", range(posts[2], posts[2] + 1))
        async for attempt in eventually():
            with attempt:
                (beat,) = await learners(here.redis)
                assert beat.metrics["clicks"] == before.metrics["clicks"] + 2
                weights = learnt.decode_weights(await here.redis.get(keys.LEARNER_WEIGHTS) or b"").outside
                assert weights["knows"] > START > weights["wrong"]


async def test_what_redis_lost_is_published_again_and_recorded_snapshots_outlive_it(system: System):
    async with client(system) as here:
        before = await vectors(here.redis)
        await here.redis.flushdb()
        async for attempt in eventually():
            with attempt:
                assert await vectors(here.redis) == before
        await asyncio.to_thread(system.stop, "models")
        await here.redis.flushdb()
        system.start("models")
        async for attempt in eventually():
            with attempt:
                assert await vectors(here.redis) == before


async def test_a_deleted_post_leaves(system: System):
    async with client(system) as here:
        await here.producer.send_and_wait("posts", b'{"id": %d}' % BASE, key=str(BASE).encode())
        await here.producer.send_and_wait("posts", None, key=str(BASE).encode())
        async for attempt in eventually():
            with attempt:
                assert BASE not in await vectors(here.redis)


async def test_of_two_workers_one_is_the_learner_and_the_other_takes_over(system: System):
    async with client(system) as here:
        system.start("models", 1)
        async for attempt in eventually():
            with attempt:
                assert await beating(here.redis) == {"models-0", "models-1"}
                assert len(await learners(here.redis)) == 1
        (leaving,) = await learners(here.redis)
        await asyncio.to_thread(system.stop, "models" if leaving.id == "models-0" else "models-1")
        await like(here, "learnt-5", range(BASE + 50, BASE + 53))
        await wait_for_vectors(here.redis, range(BASE + 50, BASE + 53))
        async for attempt in eventually():
            with attempt:
                assert {beat.id for beat in await learners(here.redis)} == {"models-0", "models-1"} - {leaving.id}
