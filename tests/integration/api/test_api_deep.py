"""The deep model in service: published through Redis, run by the API on what a user did a moment ago."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from api.models import Models
from api.redis import connection
from batch_models.deep_export import exported
from batch_models.deep_network import Network, Shape, UserVector
from batch_models.deep_ranker import strengths
from batch_models.post_facts import facts_of
from batch_models.post_vectors import tokens_of
from online_models.event_sequence import of_history
from schemas import keys, topics
from schemas.errors import ServiceUnavailable
from schemas.events import DEFAULT_WEIGHTS
from schemas.models import ModelVersion, chunks_digest, encode_version, pack_graph, pack_vectors
from schemas.settings import Settings
from schemas.user_state import UserState

POSTS = range(1, 13)
KNOWN = np.array([post_id not in (4, 9) for post_id in POSTS])
LATER = 0.5
NO_TOKENS = tokens_of(facts_of([], np.array(POSTS)))


@pytest.fixture
async def api(
    worker: Any, redis_url: str, tansu: str, serve: Any, free_port: Callable[[], int], until: Any, feed: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    """An API of its own with twelve posts, and a writer to its Redis."""
    url = redis_url.rsplit("/", 1)[0] + "/6"
    writer = type(worker)(url)
    for post_id in POSTS:
        writer.post(post_id)
        writer.counts(post_id, float(post_id))
    with serve(free_port(), url, tansu) as address:
        async with httpx.AsyncClient(base_url=address) as client:

            async def loaded() -> bool:
                return (await feed(client, "nobody"))["total_count"] == len(POSTS)

            await until(loaded)
            yield client, writer
    writer.redis.flushdb()


def published(redis: Any, version: str, *, damaged: bool = False) -> Network:
    """A network that learnt nothing, in Redis as batch_models.publish puts it there."""
    torch.manual_seed(7)
    network = Network(Shape(len(POSTS), 16), NO_TOKENS, strengths(DEFAULT_WEIGHTS)).eval()
    network.begin_with(torch.randn(len(POSTS), 16), torch.zeros(len(POSTS), 16))
    graph, vectors = exported(UserVector(network, LATER).eval(), KNOWN), network.item_vectors(LATER).detach().numpy()
    chunks = pack_vectors(np.array(POSTS)[KNOWN], vectors[KNOWN])
    graphs = pack_graph(graph if not damaged else graph[:-1] + bytes([graph[-1] ^ 1]))
    for number, chunk in enumerate([*chunks, *graphs]):
        redis.set(keys.model_chunk("deep", version, number), chunk)
    current = ModelVersion(
        model="deep", version=version, created_at=0.0, dim=vectors.shape[1], items=int(KNOWN.sum()),
        chunks=len(chunks), metrics={}, graph_chunks=len(graphs), digest=chunks_digest([*chunks, *pack_graph(graph)]),
    )  # fmt: skip
    redis.set(keys.model_current("deep"), encode_version(current))
    return network


def expected(network: Network, redis: Any, username: str) -> dict[int, float]:
    """What torch says of the posts, from the state in Redis."""
    events = of_history(UserState.decode(redis.get(keys.user_state(topics.owner(username, 4), username))).history)
    rows = np.where(KNOWN[events.posts - 1], events.posts - 1, len(POSTS))
    columns = [rows, events.types, events.values, events.gaps, np.ones(len(rows), np.bool_)]
    with torch.no_grad():
        user = UserVector(network, LATER).eval()(*(torch.from_numpy(each[None]) for each in columns))
        scores = (network.item_vectors(LATER) @ user[0]).tolist()
    met = set(events.posts.tolist())
    return {post: score for post, score in zip(POSTS, scores, strict=True) if KNOWN[post - 1] and post not in met}


async def said(client: httpx.AsyncClient, feed: Any) -> dict[int, float]:
    """What the source says of each post of the reader's feed."""
    page = await feed(client, "reader", explain="true", page_size=50)
    assert page["degraded"] == []
    sources = {post["id"]: post["explain"]["sources"] for post in page["post"]}
    return {post_id: of_post["deep"] for post_id, of_post in sources.items() if "deep" in of_post}


async def test_a_damaged_network_never_serves(redis_url: str, worker: Any, tansu: str) -> None:
    url = redis_url.rsplit("/", 1)[0] + "/6"
    redis = type(worker)(url).redis
    models = Models(Settings(_env_file=None, redis_url=url, kafka_bootstrap_servers=tansu), connection(url, 5.0))
    try:
        published(redis, "v1")
        await models.look("deep")
        published(redis, "v2", damaged=True)
        with pytest.raises(ServiceUnavailable, match="is damaged"):
            await models.look("deep")
        assert models.versions == {"deep": "v1"}
    finally:
        redis.flushdb()


async def test_an_event_of_a_moment_ago_changes_what_the_network_says(
    api: tuple[httpx.AsyncClient, Any], feed: Any, until: Any
) -> None:
    client, writer = api
    network = published(writer.redis, "v1")

    async def in_service(version: str) -> bool:
        return (await feed(client, "reader"))["model_versions"] == {"deep": version}

    await until(lambda: in_service("v1"))
    answers = []
    for liked in ([1, 4], [1, 4, 2]):
        writer.user("reader", liked=liked)
        answers.append(await said(client, feed))
        assert answers[-1] == pytest.approx(expected(network, writer.redis, "reader"), abs=1e-4)
    assert max(abs(answers[1][post_id] - answers[0][post_id]) for post_id in answers[1]) > 0.01


def test_an_api_without_the_model_never_loads_what_runs_it() -> None:
    program = "import sys, api.app; print(sorted({'onnxruntime', 'torch', 'onnx'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
