"""What the learner ranks is what feeds show: the same user and the same events, once in its arrays and once through
Redis, its store and the mirror of the API."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from redis.asyncio import Redis

from api.candidate_pipeline import CandidatePipeline
from api.factors import Factors
from api.filters.not_interested import NotInterested
from api.filters.not_public import NotPublic
from api.filters.seen import Seen
from api.metrics import Metrics
from api.mirror import Mirror
from api.pipelines import feed_sources
from api.query_hydrators.user_state import UserStateHydrator
from api.reads import Reads
from api.redis import connection
from api.scorers.blend import LEARNT_NAMES, Blend, features
from api.selector.top import Top
from api.serving import cancel
from api.stages import Candidates, Query, Scores
from online_models.co_visitation import CoVisitation
from online_models.decayed_counters import DecayedCounters
from online_models.features import FEATURES
from online_models.recommender import Recommender
from online_models.sources import NAMES
from online_models.user_history import learn_one
from schemas import keys, learning, topics
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.item_state import Neighbours
from schemas.learning import user_hash
from schemas.posts import Post, decode_post, encode
from schemas.settings import Settings
from schemas.user_state import HistoryEvent, UserState
from streams.commit import Committer
from streams.learner_store import LearnerStore
from streams.learning_writer import LearningWriter, past_of
from streams.redis import connect

SETTINGS = Settings(_env_file=None, kafka_partitions=2)
POSTS, USERS, EVENTS = 400, 60, 4_000
KINDS = (("like", 1.0), ("view", 0.8), ("view", 0.1), ("share", 1.0), ("not_interested", 1.0))


@dataclass
class World:
    """What workers hold after some events: the learner by itself, and all else as stages 1 and 2 write it."""

    recommender: Recommender
    posts: list[Post]
    states: dict[str, UserState]
    counters: DecayedCounters
    co_visitation: CoVisitation

    async def write(self, redis: Redis) -> None:
        def owner(post_id: int) -> int:
            return topics.owner(str(post_id), SETTINGS.kafka_partitions)

        for name, state in self.states.items():
            await redis.set(keys.user_state(topics.owner(name, SETTINGS.kafka_partitions), name), state.encode())
        for post in self.posts:
            await redis.set(keys.post_row(owner(post.id), post.id), encode(post))
            await redis.sadd(keys.post_ids(owner(post.id)), post.id)
        for post_id, item in self.counters.items.items():
            item.strength = self.co_visitation.strengths.get(post_id, 0.0)
            await redis.set(keys.item_state(owner(post_id), post_id), item.encode())
            row = Neighbours(self.co_visitation.row(post_id))
            await redis.set(keys.neighbours(owner(post_id), post_id), row.encode())


def taste(draw: np.random.Generator, user: int) -> int:
    """Users like posts of one of eight kinds, the first ones most."""
    if draw.random() < 0.2:
        return int(draw.integers(1, POSTS + 1))
    return 1 + (user % 8 + 8 * int((POSTS // 8) * draw.random() ** 2)) % POSTS


@pytest.fixture(scope="module")
def world() -> World:
    draw, now = np.random.default_rng(3), time.time()
    posts = [
        decode_post(
            msgspec.json.encode(
                {"id": post_id, "tags": [f"kind {post_id % 8}", f"tag {post_id % 13}"], "category": f"c{post_id % 5}",
                 "username": f"author {post_id % 40}", "created_at": (now - 3_600 * post_id) * 1000}
            )
        )
        for post_id in range(1, POSTS + 1)
    ]  # fmt: skip
    world = World(Recommender(capacity=1_000, users=200), posts, {}, DecayedCounters(), CoVisitation())
    world.recommender.learn_posts([(post.id, post) for post in posts])
    writer = LearningWriter()
    for number in range(EVENTS):
        user = int(draw.integers(USERS))
        post_id = number % POSTS + 1 if number < POSTS else taste(draw, user)
        kind, value = KINDS[int(draw.choice(len(KINDS), p=(0.5, 0.25, 0.1, 0.1, 0.05)))]
        at_ms = int((now - 30.0 * (EVENTS - number)) * 1000)
        event = HistoryEvent(at_ms, post_id, TYPE_CODES[kind], round(value * 1000))
        state = world.states.setdefault(f"user {user}", UserState())
        past = past_of(state, post_id)
        effect = learn_one(state, event, DEFAULT_WEIGHTS)
        if effect.delta:
            writer.add(f"user {user}", at_ms / 1000, event, effect, past)
            world.counters.learn_one(post_id, event.type_code, effect.delta, effect.weight, at_ms / 1000)
        if effect.gain:
            world.co_visitation.learn_one(post_id, effect.context, effect.gain, at_ms / 1000)
    for message in writer.messages():
        events = learning.decode(message.value or b"").events
        assert events is not None
        world.recommender.learn_many(events)
    return world


@pytest.fixture
async def serving(valkey: str, world: World, until: Any) -> AsyncIterator[tuple[Factors, Mirror, Any]]:
    """The API's own view of that world, followed through a real Valkey."""
    url = valkey.rsplit("/", 1)[0] + "/13"
    written = connect(url)
    await written.flushdb()
    await world.write(written)
    store = LearnerStore(written, Committer(written), None)
    await store.claim()
    await store.publish(world.recommender.changed_vectors(), world.recommender.weights(), whole=True)
    opened = connection(url, 5.0)
    mirror = Mirror(opened, SETTINGS.kafka_partitions, Metrics())
    factors = Factors(opened, mirror)
    running = [asyncio.create_task(work) for work in (mirror.run(), factors.run())]

    async def loaded() -> bool:
        return factors.of(mirror.catalogue) is not None

    await until(loaded)
    reads = Reads(url, 1.0)
    yield factors, mirror, reads
    await cancel(running)
    await reads.close()
    await opened.aclose()
    await written.aclose()


class Kept(Blend):
    """Remembers the features it scored by."""

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores:
        scored = super().score(query, candidates, scores)
        self.candidates, self.features = candidates, features(candidates)
        return scored


async def test_feeds_rank_as_the_learner_does(serving: tuple[Factors, Mirror, Any], world: World) -> None:
    factors, mirror, reads = serving
    catalogue, recommender, now = mirror.catalogue, world.recommender, time.time()
    assert recommender.blend.serves_learnt
    blend = Kept(SETTINGS)
    sources = [source for source in feed_sources() if LEARNT_NAMES.get(source.name, source.name) in NAMES]
    assert len(sources) == len(NAMES)
    feed = CandidatePipeline(
        [UserStateHydrator(reads, SETTINGS)], sources, [NotPublic(), Seen(), NotInterested()], [blend], Top(), [],
        Metrics(),
    )  # fmt: skip
    posts = recommender.sources.slots
    common, places, differences = [], [], []
    for name, state in world.states.items():
        query = Query(name, now, catalogue, online=factors.of(catalogue))
        slate = await feed.run(query)
        assert slate.degraded == []
        served = catalogue.ids[slate.slots].tolist()

        allowed = recommender.sources.table.known[: posts.size].copy()
        allowed[posts.find(np.array([*state.seen, *state.excluded]))] = False
        _, found, theirs = recommender.candidates(recommender.users.get(user_hash(name)), now, allowed)
        ranked = posts.ids[found.slots[np.argsort(-recommender.blend.predict_many(theirs))]].tolist()
        common.append(len({*served} & {*ranked[:20]}))
        places.append(served.index(ranked[0]) if ranked[0] in served else 99)

        mine = dict(zip(catalogue.ids[blend.candidates.slots].tolist(), blend.features, strict=True))
        both = [
            (mine[post_id], row)
            for post_id, row in zip(posts.ids[found.slots].tolist(), theirs, strict=True)
            if post_id in mine
        ]
        assert len(both) > 0.95 * len(theirs)
        differences.append(np.mean([np.abs(a - b) for a, b in both], axis=0))
    assert min(common) >= 18
    # Counts that are equal stand in the order of slots, which is not the same here and there: 1 of 60 users sees it.
    assert np.mean(np.array(places) <= 2) >= 0.95
    alone = [name for name in FEATURES if " by " not in name]  # the blend makes the products
    by_feature = dict(zip(alone, np.mean(differences, axis=0).tolist(), strict=True))
    assert {name: value for name, value in by_feature.items() if value >= 0.1} == {}
    assert np.mean(differences) < 0.05
