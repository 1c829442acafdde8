"""What workers and trainer leave in Redis, made in this process by their own code: the world that serving.py serves.

Through Kafka the same takes minutes, and feeds read nothing but Redis.
"""

import asyncio
import random
import sys
import time

import msgspec
import numpy as np
import torch

from batch_models.deep_export import exported
from batch_models.deep_network import Network, Shape, UserVector
from batch_models.deep_ranker import strengths
from batch_models.item_tower import item_tower
from batch_models.post_facts import facts_of
from batch_models.post_vectors import tokens_of
from batch_models.ranker_export import exported as ranker
from batch_models.ranker_network import WIDTH, Ranker
from online_models.co_visitation import CoVisitation
from online_models.content_tokens import post_tokens
from online_models.decayed_counters import DecayedCounters
from online_models.recommender import Recommender
from online_models.user_history import learn_one
from schemas import keys, learning, topics
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.item_state import Neighbours
from schemas.models import ModelVersion, chunks_digest, encode_version, pack_graph, pack_vectors
from schemas.posts import decode_post, encode
from schemas.user_state import HistoryEvent, UserState
from streams.commit import Committer
from streams.learner_store import LearnerStore
from streams.learning_writer import LearningWriter, past_of
from streams.redis import connect

DIM = 64
"""Of the vectors of `deep` and `svd`, as they are published."""
KINDS = ("view", "like")
BATCH = 2_000
SPAN_SECONDS = 7 * 86_400.0
AT_ONCE = 500


def row(post_id: int) -> bytes:
    """A post of about 600 bytes as the external API sends it."""
    address = f"https://example.org/{post_id}"
    return msgspec.json.encode(
        {"id": post_id, "title": f"Post {post_id} about this and that, #tag{post_id % 97} and #tag{post_id % 53}",
         "category": {"id": post_id % 20 + 1, "name": f"Category {post_id % 20}", "image_url": address},
         "username": f"author{post_id % 500}", "first_name": "An", "last_name": "Author",
         "tags": [f"tag{post_id % 31}"], "created_at": int((time.time() - post_id % 720 * 3600) * 1000),
         "duration_ms": 15_000, "video_link": f"{address}.m3u8", "thumbnail_url": f"{address}.jpg",
         "is_available_in_public_feed": True, "is_locked": False, "upvote_count": 3, "view_count": 17}
    )  # fmt: skip


async def fill(redis_url: str, partitions: int, posts: int, users: int, events: int) -> None:
    """Posts, histories of users u0 …, counters, neighbours, what the learner learnt, and three batch models."""
    redis = connect(redis_url)
    states, learnt = await _histories(redis, partitions, posts, users, events)
    pipeline = redis.pipeline(transaction=False)
    for name, state in states.items():
        pipeline.set(keys.user_state(topics.owner(name, partitions), name), state.encode())
    await pipeline.execute()
    store = LearnerStore(redis, Committer(redis), None)
    await store.claim()
    await store.publish(learnt.changed_vectors(), learnt.weights(), whole=True)
    await _publish_models(redis, posts)
    await redis.aclose()


async def _histories(
    redis: object, partitions: int, posts: int, users: int, events: int
) -> tuple[dict[str, UserState], Recommender]:
    """Plays the events; some posts and users are far busier than others. Writes the posts."""
    draw, now = random.Random(1), time.time()
    rows = [decode_post(row(post_id)) for post_id in range(1, posts + 1)]
    learnt = Recommender(capacity=posts + 1, users=users)
    learnt.learn_posts([(post.id, post) for post in rows])
    states: dict[str, UserState] = {}
    counters, visits, writer = DecayedCounters(), CoVisitation(), LearningWriter()
    for number in range(events):
        name, post_id = f"u{int(users * draw.random() ** 2)}", 1 + int(posts * draw.random() ** 3)
        at = now - SPAN_SECONDS * (events - number) / events
        event = HistoryEvent(int(at * 1000), post_id, TYPE_CODES[draw.choice(KINDS)], 1000)
        state = states.setdefault(name, UserState())
        past = past_of(state, post_id)
        effect = learn_one(state, event, DEFAULT_WEIGHTS)
        if effect.delta:
            writer.add(name, at, event, effect, past)
            counters.learn_one(post_id, event.type_code, effect.delta, effect.weight, at)
        if effect.gain:
            visits.learn_one(post_id, effect.context, effect.gain, at)
        if number % BATCH == BATCH - 1 or number == events - 1:
            for message in writer.messages():
                found = learning.decode(message.value or b"").events
                if found is not None:
                    learnt.learn_many(found)
            writer = LearningWriter()
    for start in range(0, len(rows), AT_ONCE):
        pipeline = redis.pipeline(transaction=False)
        for post in rows[start : start + AT_ONCE]:
            partition = topics.owner(str(post.id), partitions)
            pipeline.set(keys.post_row(partition, post.id), encode(post)).sadd(keys.post_ids(partition), post.id)
            if (item := counters.items.get(post.id)) is not None:
                item.strength = visits.strengths.get(post.id, 0.0)
                pipeline.set(keys.item_state(partition, post.id), item.encode())
                near = Neighbours(visits.row(post.id)).encode()
                pipeline.set(keys.neighbours(partition, post.id), near)
        await pipeline.execute()
    return states, learnt


async def _publish_models(redis: object, posts: int) -> None:
    """Of the shapes and sizes that training publishes; what they say does not matter to the clock."""
    torch.manual_seed(7)
    torch.set_num_threads(1)
    tokens = tokens_of(facts_of([], np.arange(1, posts + 1)))
    network = Network(Shape(posts, DIM), tokens, strengths(DEFAULT_WEIGHTS)).eval()
    network.begin_with(torch.randn(posts, DIM), torch.zeros(posts, DIM))
    every = np.ones(posts, np.bool_)
    items = item_tower(post_tokens([None] * posts), network.post_vectors().detach().numpy(), every.astype(np.int64))
    graph = exported(UserVector(network, 0.5).eval(), every, items, 0.0)
    ids = np.arange(1, posts + 1)
    deep = network.item_vectors(0.5).detach().numpy()
    svd = np.random.default_rng(2).normal(0.0, 0.1, (posts, DIM)).astype(np.float32)
    own = np.random.default_rng(3).normal(0.0, 0.1, (posts, WIDTH)).astype(np.float32)
    for model, vectors, graphs in (
        ("svd", svd, []), ("deep", deep, pack_graph(graph)), ("ranker", own, pack_graph(ranker(Ranker().eval()))),
    ):  # fmt: skip
        chunks = [*pack_vectors(ids, vectors), *graphs]
        for number, chunk in enumerate(chunks):
            await redis.set(keys.model_chunk(model, "v1", number), chunk)
        version = ModelVersion(
            model=model, version="v1", created_at=time.time(), dim=vectors.shape[1], items=posts,
            chunks=len(chunks) - len(graphs), metrics={}, graph_chunks=len(graphs), digest=chunks_digest(chunks),
        )  # fmt: skip
        await redis.set(keys.model_current(model), encode_version(version))


async def live(redis_url: str, partitions: int, users: int, posts: int, rate: float) -> None:
    """Events of users in turn, `rate` a second, as stages 1 and 2 leave them in Redis; until it is ended."""
    redis, draw, started = connect(redis_url), random.Random(2), time.monotonic()
    number = 0
    while True:
        name, post_id = f"u{number * 31 % users}", draw.randrange(1, posts + 1)
        key = keys.user_state(topics.owner(name, partitions), name)
        state = UserState.decode(await redis.get(key))
        event = HistoryEvent(int(time.time() * 1000), post_id, TYPE_CODES["view"], 1000)
        learn_one(state, event, DEFAULT_WEIGHTS)
        partition = topics.owner(str(post_id), partitions)
        pipeline = redis.pipeline(transaction=False)
        pipeline.set(key, state.encode())
        pipeline.xadd(keys.item_changes(partition), {"states": np.array([post_id], "<i8").tobytes()}, maxlen=1_000)
        await pipeline.execute()
        number += 1
        await asyncio.sleep(max(started + number / rate - time.monotonic(), 0.0))


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], *(int(each) for each in sys.argv[2:6])))
