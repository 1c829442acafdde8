"""Versions of a model that are exchanged under a running API: no failed request, and never two versions in one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis.asyncio import Redis
from saved_versions import save_version

from api.models import Models
from api.redis import connection
from batch_models import publish, registry
from schemas import keys
from schemas.errors import ReelstreamError, ServiceUnavailable
from schemas.settings import Settings

IDS = np.arange(1, 61)


@pytest.fixture
async def settings(redis_url: str, tansu: str, tmp_path: Path) -> AsyncIterator[Settings]:
    yield Settings(
        _env_file=None, redis_url=redis_url, kafka_bootstrap_servers=tansu, kafka_idempotence=False,
        model_path=tmp_path / "models",
    )  # fmt: skip
    async with Redis.from_url(redis_url) as redis:
        await redis.delete(keys.model_current("svd"), *[key async for key in redis.scan_iter("*{m:svd}:v:*")])


async def published(settings: Settings, near: range, dim: int) -> str:
    """A version in which post 10 is like the posts `near` and like no others."""
    vectors = np.zeros((60, dim), np.float32)
    vectors[:, 0] = 1.0
    vectors[[9, *(post - 1 for post in near)]] = [0.0] * (dim - 1) + [1.0]
    version = save_version(settings.model_path, IDS, vectors)
    await publish.publish(settings, *registry.load(settings.model_path, "svd", version.version))
    return version.version


async def test_rollbacks_under_load_fail_no_request_and_mix_no_versions(
    settings: Settings, client: httpx.AsyncClient, until: Any
) -> None:
    near = {await published(settings, range(11, 21), 3): set(range(11, 21))}
    near[await published(settings, range(31, 41), 5)] = set(range(31, 41))
    first, second = near
    seen, done = [], asyncio.Event()

    async def ask() -> None:
        while not done.is_set():
            answer = await client.get("/api/v1/similar/10", params={"page_size": 10})
            assert answer.status_code == 200, answer.text
            version = answer.json()["model_versions"].get("svd")
            if version in near:
                assert {post["id"] for post in answer.json()["post"]} == near[version]
                seen.append(version)

    async def serves(version: str) -> None:
        async def so() -> bool:
            return seen[-1:] == [version]

        await until(so)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(ask())
        await serves(second)
        for _ in range(3):
            assert (await publish.rollback(settings, "svd", None))[0].version == first
            await serves(first)
            assert (await publish.rollback(settings, "svd", second))[1] == first
            await serves(second)
        done.set()
    assert len(seen) > 20


async def test_a_damaged_version_is_refused_on_disk_and_in_redis_and_the_former_serves(settings: Settings) -> None:
    first = await published(settings, range(11, 21), 3)
    second = await published(settings, range(31, 41), 3)
    opened = connection(settings.require("REDIS_URL"), 5.0)
    models = Models(settings, opened)
    try:
        await publish.rollback(settings, "svd", first)
        await models.look("svd")
        chunk = keys.model_chunk("svd", second, 0)
        await publish.rollback(settings, "svd", second)
        whole = await opened.get(chunk)
        assert whole is not None
        await opened.set(chunk, whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ServiceUnavailable, match="is damaged in Redis"):
            await models.look("svd")
        assert models.versions == {"svd": first}
        await opened.set(chunk, whole)
        await models.look("svd")
        assert models.versions == {"svd": second}

        saved = settings.model_path / "svd" / first / "vectors.npz"
        content = bytearray(saved.read_bytes())
        content[len(content) // 2] ^= 1
        saved.write_bytes(content)
        for version in (None, first):
            with pytest.raises(ReelstreamError, match="is not what its card"):
                await publish.rollback(settings, "svd", version)
        await models.look("svd")
        assert models.versions == {"svd": second}
    finally:
        await opened.aclose()
