"""The content model in service: a post that comes is found by what its row says, and versions are exchanged whole."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from saved_versions import save_version
from untrained_towers import untrained

from batch_models import publish, registry
from online_models.content_tokens import post_tokens, user_tokens
from online_models.content_towers import ContentTowers
from schemas.posts import decode_post
from schemas.settings import Settings

TITLES = {
    1: "gardening in spring", 2: "gardening on balconies", 3: "the gardener's year", 4: "stars and planets",
    5: "planets by telescope", 6: "a telescope of your own",
}  # fmt: skip
NEW, TITLE = 50, "gardening for everybody"
LIKED = [1, 2]


@pytest.fixture
async def api(
    worker: Any, redis_url: str, tansu: str, serve: Any, free_port: Callable[[], int], until: Any, feed: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Any, str]]:
    """An API of its own with six posts, a writer to its Redis, and the address of that."""
    url = redis_url.rsplit("/", 1)[0] + "/6"
    writer = type(worker)(url)
    for post_id, title in TITLES.items():
        writer.post(post_id, title=title)
    writer.user("reader", liked=LIKED)
    with serve(free_port(), url, tansu) as address:
        async with httpx.AsyncClient(base_url=address) as client:

            async def loaded() -> bool:
                return bool((await feed(client, "nobody"))["total_count"] == len(TITLES))

            await until(loaded)
            yield client, writer, url
    writer.redis.flushdb()


def row(post_id: int, title: str) -> bytes:
    """As the writer makes it."""
    category = "Even" if post_id % 2 == 0 else "Odd"
    return msgspec.json.encode({"id": post_id, "title": title, "category": category})


def vectors_by(graph: bytes, titles: dict[int, str]) -> np.ndarray:
    return ContentTowers(graph).posts(post_tokens([decode_post(row(*each)) for each in titles.items()]))


def expected(graph: bytes) -> dict[int, float]:
    """What the towers say to the reader of posts that were not met, the new one among them."""
    titles = {**TITLES, NEW: TITLE}
    vectors = dict(zip(titles, vectors_by(graph, titles), strict=True))
    taste = sum(0.95**q * 2.0 * vectors[post_id] for q, post_id in enumerate(reversed(LIKED)))
    user = ContentTowers(graph).users(np.array(taste)[None], user_tokens([None]))[0]
    return {post_id: float(vectors[post_id] @ user) for post_id in titles if post_id not in LIKED}


def alike(graph: bytes, asked: int, threshold: float) -> list[int]:
    """Posts by cosine, as far as they are that share as near as the nearest."""
    titles = {**TITLES, NEW: TITLE}
    vectors = dict(zip(titles, vectors_by(graph, titles), strict=True))
    cosines = {other: float(vectors[other] @ vectors[asked]) for other in titles if other != asked}
    near = [other for other, cosine in cosines.items() if cosine >= threshold * max(cosines.values())]
    return sorted(near, key=lambda other: -cosines[other])


async def test_a_post_is_found_by_its_row_the_moment_it_comes_and_versions_never_mix(
    api: tuple[httpx.AsyncClient, Any, str], feed: Any, until: Any, tansu: str, tmp_path: Path
) -> None:
    client, writer, url = api
    settings = Settings(
        _env_file=None, redis_url=url, kafka_bootstrap_servers=tansu, kafka_idempotence=False, model_path=tmp_path
    )
    graphs = {}
    for dim in (24, 16):
        graph = untrained(dim, dim)
        version = save_version(tmp_path, np.array([*TITLES]), vectors_by(graph, TITLES), model="content", graph=graph)
        graphs[version.version] = graph
        await publish.publish(settings, *registry.load(tmp_path, "content", version.version))
    first, second = graphs

    async def said() -> tuple[str, dict[int, float]]:
        page = await feed(client, "reader", explain="true", page_size=50)
        assert page["degraded"] == []
        sources = {post["id"]: post["explain"]["sources"] for post in page["post"]}
        scores = {post_id: each["content"] for post_id, each in sources.items() if "content" in each}
        return page["model_versions"].get("content", ""), scores

    async def complete(version: str) -> bool:
        """No answer ever holds what another version says."""
        named, scores = await said()
        if named:
            all_of_it = expected(graphs[named])
            assert scores == pytest.approx({post_id: all_of_it[post_id] for post_id in scores}, abs=1e-4)
        return named == version and len(scores) == len(TITLES) + (NEW in arrived) - len(LIKED)

    arrived: list[int] = []
    await until(lambda: complete(second))
    arrived.append(NEW)
    writer.post(NEW, title=TITLE)
    await until(lambda: complete(second))
    for asked in (NEW, 1):
        near = (await client.get(f"/api/v1/similar/{asked}")).json()["post"]
        assert [post["id"] for post in near] == alike(graphs[second], asked, settings.similarity_threshold)
        assert {post["similar"]["source"] for post in near} == {"content"}

    assert (await publish.rollback(settings, "content", None))[0].version == first
    await until(lambda: complete(first))
    await publish.rollback(settings, "content", second)
    await until(lambda: complete(second))
