"""Feeds of a real API process follow what a learner publishes, and go on without one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from redis.asyncio import Redis

from online_models.blend import HIDDEN
from online_models.features import FEATURES
from online_models.post_table import TAG_CODES
from online_models.recommender import Changed
from schemas.learning import user_hash
from schemas.learnt import RATING, Weights, encode_weights, post_type
from streams.commit import Committer
from streams.learner_store import LearnerStore
from streams.redis import connect

POSTS = np.arange(1, 31)
DIM = 4


@pytest.fixture
async def redis(valkey: str) -> AsyncIterator[Redis]:
    opened = connect(valkey.rsplit("/", 1)[0] + "/4")
    await opened.flushdb()
    yield opened
    await opened.aclose()


def weights(**linear: float) -> bytes:
    """Of the features named."""
    counts = np.array([linear.get(name, 0.0) for name in FEATURES], np.float32)
    hidden = np.ones((HIDDEN, len(FEATURES) + 1), np.float32), np.zeros(HIDDEN, np.float32)
    return encode_weights(Weights([*FEATURES], counts, *hidden, np.ones(TAG_CODES, np.float32), 0.5, 86_400.0))


def told() -> Changed:
    """By how many came, the higher the better; by the vector of the user, the lower; the user is `ann`."""
    records = np.zeros(len(POSTS), post_type(5 * DIM + 3))
    records["total"], records["first_at"], records["last_at"] = POSTS, 1e9, 1e9
    records["vectors"][:, -1 - DIM] = -POSTS / 10
    own = np.zeros((1, DIM + RATING), np.float16)
    own[0, 0] = 1.0
    nobody = np.empty(0, np.int64)
    return Changed(POSTS, records, nobody, np.array([user_hash("ann")]), own)


async def test_feeds_change_with_what_is_learnt_and_go_on_without_the_learner(
    redis: Redis, valkey: str, tansu: str, worker: Any, serve: Callable[..., Any], free_port: Callable[[], int],
    until: Callable[..., Awaitable[None]],
) -> None:  # fmt: skip
    url = valkey.rsplit("/", 1)[0] + "/4"
    here = type(worker)(url)
    for post_id in POSTS.tolist():
        here.post(post_id)
        here.counts(post_id, 40.0 - post_id)
    here.user("ann", liked=[1, 2])
    store = LearnerStore(redis, Committer(redis), None)
    with serve(free_port(), url, tansu) as address:
        async with httpx.AsyncClient(base_url=address) as client:

            async def page(username: str = "ann") -> dict[str, Any]:
                answer = await client.get("/api/v1/feed", params={"username": username, "explain": True})
                found: dict[str, Any] = answer.raise_for_status().json()
                return found

            def first_is(post_id: int, version: bool = True) -> Callable[[], Awaitable[bool]]:
                async def holds() -> bool:
                    found = await page()
                    shown = found["post"][0]["id"] if found["post"] else None
                    return shown == post_id and ("online" in found["model_versions"]) == version

                return holds

            await until(first_is(3, version=False))
            before = await page()
            await store.claim()
            await store.publish(told(), weights(popularity_rank=1.0), whole=True)
            await until(first_is(30))
            found = await page()
            assert found["post"][0]["explain"]["sources"]["popularity"] == 30.0
            assert {"popularity", "factors"} <= {*found["algorithm_used"].split("+")}
            guest = await page("nobody")
            assert guest["algorithm_used"] == "cold_start:trending+popular"
            assert guest["model_versions"] == {}

            await store.publish(told(), weights(factors_value=1.0), whole=False)
            await until(first_is(3))
            assert int((await page())["model_versions"]["online"]) > int(found["model_versions"]["online"])

            await redis.delete(*[key async for key in redis.scan_iter("rs:{learner}:*")])
            here.user("ann", liked=[1, 2, 3])
            await until(first_is(4))
            assert (await page())["degraded"] == before["degraded"] == []
