"""The deep model in service: published through Redis, run by the API on what a user did a moment ago, of posts that
were published and of those that came since."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import torch
from saved_versions import save_version

from api.models import Models
from api.redis import connection
from batch_models import publish, registry
from batch_models.deep_export import exported
from batch_models.deep_network import Network, Shape, UserVector
from batch_models.deep_ranker import strengths
from batch_models.item_tower import item_tower
from batch_models.post_facts import facts_of
from batch_models.post_vectors import tokens_of
from online_models.content_tokens import post_tokens
from online_models.event_sequence import of_history
from schemas import keys, topics
from schemas.errors import ServiceUnavailable
from schemas.events import DEFAULT_WEIGHTS
from schemas.models import encode_version
from schemas.posts import Post, decode_post
from schemas.settings import Settings
from schemas.user_state import UserState

POSTS = range(1, 13)
NEW = 13
"""It comes after the publication; 4 and 9 were there and nobody had met them."""
KNOWN = np.array([post_id not in (4, 9, NEW) for post_id in (*POSTS, NEW)])
LATER, BIAS = 0.5, -0.25
NO_TOKENS = tokens_of(facts_of([], np.array([*POSTS, NEW])))


def title(post_id: int) -> str:
    return f"{('tea', 'sea', 'pea')[post_id % 3]} {post_id}"


def row(post_id: int) -> Post:
    """As the writer makes it."""
    category = "Even" if post_id % 2 == 0 else "Odd"
    return decode_post(msgspec.json.encode({"id": post_id, "title": title(post_id), "category": category}))


@pytest.fixture
async def api(
    worker: Any, redis_url: str, tansu: str, serve: Any, free_port: Callable[[], int], until: Any, feed: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    """An API of its own with twelve posts, and a writer to its Redis."""
    writer = type(worker)(redis_url.rsplit("/", 1)[0] + "/6")
    for post_id in POSTS:
        writer.post(post_id, title=title(post_id))
        writer.counts(post_id, float(post_id))
    with serve(free_port(), redis_url.rsplit("/", 1)[0] + "/6", tansu) as address:
        async with httpx.AsyncClient(base_url=address) as client:

            async def loaded() -> bool:
                return (await feed(client, "nobody"))["total_count"] == len(POSTS)

            await until(loaded)
            yield client, writer
    writer.redis.flushdb()


@pytest.fixture
def settings(redis_url: str, tansu: str, tmp_path: Path) -> Settings:
    url = redis_url.rsplit("/", 1)[0] + "/6"
    return Settings(
        _env_file=None, redis_url=url, kafka_bootstrap_servers=tansu, kafka_idempotence=False, model_path=tmp_path
    )


def saved(settings: Settings, seed: int) -> tuple[str, Network]:
    """A version that learnt nothing, and the network as torch has it, new posts being rows of its table."""
    torch.manual_seed(seed)
    count = len(KNOWN)
    network = Network(Shape(count, 16), NO_TOKENS, strengths(DEFAULT_WEIGHTS)).eval()
    network.begin_with(torch.randn(count, 16), torch.zeros(count, 16))
    content = post_tokens([row(post_id) for post_id in (*POSTS, NEW)])
    items = item_tower(content, network.post_vectors().detach().numpy(), KNOWN.astype(np.int64))
    graph, vectors = exported(UserVector(network, LATER).eval(), KNOWN, items, BIAS), network.item_vectors(LATER)
    ids = np.array([*POSTS, NEW])[KNOWN]
    version = save_version(
        settings.model_path, ids, vectors.detach().numpy()[KNOWN], model="deep", graph=graph
    )  # fmt: skip
    new = np.flatnonzero(~KNOWN)
    network.become(torch.from_numpy(new), torch.from_numpy(items.vectors(content.rows(new))))
    with torch.no_grad():
        network.next.bias.weight[new] = network.later.bias.weight[new] = BIAS
    return version.version, network


def expected(network: Network, redis: Any) -> dict[int, float]:
    """What torch says of the posts, from the reader's state in Redis."""
    events = of_history(UserState.decode(redis.get(keys.user_state(topics.owner("reader", 4), "reader"))).history)
    columns = [events.posts - 1, events.types, events.values, events.gaps, np.ones(len(events.posts), np.bool_)]
    with torch.no_grad():
        user = UserVector(network, LATER).eval()(*(torch.from_numpy(each[None]) for each in columns))
        scores = (network.item_vectors(LATER) @ user[0]).tolist()
    met = set(events.posts.tolist())
    return {post: score for post, score in zip((*POSTS, NEW), scores, strict=True) if post not in met}


async def test_a_damaged_network_never_serves(settings: Settings, worker: Any) -> None:
    redis = type(worker)(settings.redis_url).redis
    models = Models(settings, connection(settings.require("REDIS_URL"), 5.0))
    try:
        (first, _), (second, _) = saved(settings, 7), saved(settings, 8)
        await publish.publish(settings, *registry.load(settings.model_path, "deep", first))
        await models.look("deep")
        version, chunks = registry.load(settings.model_path, "deep", second)
        chunks[-1] = chunks[-1][:-1] + bytes([chunks[-1][-1] ^ 1])
        for number, chunk in enumerate(chunks):
            redis.set(keys.model_chunk("deep", second, number), chunk)
        redis.set(keys.model_current("deep"), encode_version(version))
        with pytest.raises(ServiceUnavailable, match="is damaged"):
            await models.look("deep")
        assert models.versions == {"deep": first}
    finally:
        redis.flushdb()


async def test_events_and_posts_of_a_moment_ago_count_and_versions_never_mix(
    api: tuple[httpx.AsyncClient, Any], settings: Settings, feed: Any, until: Any
) -> None:
    client, writer = api
    (first, network), (second, other) = saved(settings, 7), saved(settings, 8)
    networks = {first: network, second: other}

    async def said() -> tuple[str, dict[int, float]]:
        page = await feed(client, "reader", explain="true", page_size=50)
        assert page["degraded"] == []
        sources = {post["id"]: post["explain"]["sources"] for post in page["post"]}
        scores = {post_id: each["deep"] for post_id, each in sources.items() if "deep" in each}
        return page["model_versions"].get("deep", ""), scores

    async def complete(version: str, posts: int) -> bool:
        """No answer ever holds what another version says."""
        named, scores = await said()
        if named:
            all_of_it = expected(networks[named], writer.redis)
            assert scores == pytest.approx({post_id: all_of_it[post_id] for post_id in scores}, abs=5e-4)
        return named == version and len(scores) == posts

    writer.user("reader", liked=[1, 3])
    await publish.publish(settings, *registry.load(settings.model_path, "deep", first))
    await until(lambda: complete(first, len(POSTS) - 2))
    before = (await said())[1]
    writer.post(NEW, title=title(NEW))
    await until(lambda: complete(first, len(POSTS) - 1))
    writer.user("reader", liked=[1, 3, 2])
    after = (await said())[1]
    assert max(abs(after[post_id] - before[post_id]) for post_id in before if post_id in after) > 0.01

    await publish.publish(settings, *registry.load(settings.model_path, "deep", second))
    await until(lambda: complete(second, len(POSTS) - 2))
    assert (await publish.rollback(settings, "deep", None))[0].version == first
    await until(lambda: complete(first, len(POSTS) - 2))
    # In the past of a user posts that came later count, too.
    writer.user("reader", liked=[1, 4, NEW])
    assert await complete(first, len(POSTS) - 2)


def test_an_api_without_the_model_never_loads_what_runs_it() -> None:
    program = "import sys, api.app; print(sorted({'onnxruntime', 'torch', 'onnx'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
