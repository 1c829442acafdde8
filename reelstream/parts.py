"""Our own processes as children: workers, API, trainer, replay."""

import sys
from collections.abc import Mapping
from typing import Any

import httpx
import redis.asyncio
from redis.exceptions import RedisError

from schemas import heartbeat, keys
from schemas.errors import ReelstreamError
from schemas.heartbeat import Heartbeat

from .child import Child

# -P: a folder called `api` or `schemas` in the working directory must not be taken for ours.
NICE = {"learn": 0, "models": 5, "record": 5}
"""What the global models learn and what is recorded may come a little later; what an event does to its user's feed may
not."""
COMMAND = [sys.executable, "-P", "-m", "reelstream"]


def worker(role: str, slot: int, env: Mapping[str, str], redis_url: str, since: float) -> Child:
    """Ready when its heartbeat says that it owns partitions. since: a heartbeat that began before is another's."""

    async def owns_partitions() -> None:
        beats = await heartbeats(redis_url)
        if not any(beat.role == role and beat.started_at >= since and beat.partitions for beat, _ in beats):
            raise ReelstreamError("it owns no partitions yet")

    return Child(
        name=f"worker-{role}",
        command=[*COMMAND, "worker", "--role", role, "--slot", str(slot)],
        ready=owns_partitions,
        env=env,
        nice=NICE[role],
    )


def api(port: int, env: Mapping[str, str]) -> Child:
    async def lives() -> None:
        await get(f"http://127.0.0.1:{port}/health/live")

    return Child(
        name="api", command=[*COMMAND, "api", "--host", "127.0.0.1", "--port", str(port)], ready=lives, env=env
    )


def trainer(every_minutes: float, env: Mapping[str, str]) -> Child:
    """Low priority: training must not be felt in a feed. At 15 it got .04 of a core on a busy machine, at 10 .07."""
    return Child(name="trainer", command=[*COMMAND, "train", "--every", f"{every_minutes:g}"], env=env, nice=10)


def replay(name: str, data_set: str, options: list[str], env: Mapping[str, str]) -> Child:
    return Child(name=name, command=[*COMMAND, "replay", data_set, *options], env=env, ends=True)


async def heartbeats(redis_url: str) -> list[tuple[Heartbeat, float]]:
    """Every worker that beats, with the time of its last beat. Raises ReelstreamError when Redis does not answer."""
    client = redis.asyncio.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
    try:
        members: list[Any] = await client.zrange(keys.WORKERS, 0, -1, withscores=True)
        # One GET each: on a Cluster the keys lie in different slots.
        payloads = [await client.get(keys.worker(member.decode())) for member, _ in members]
    except RedisError as error:
        raise ReelstreamError(f"Redis does not answer: {error}") from None
    finally:
        await client.aclose()
    return [(heartbeat.decode(beat), at) for beat, (_, at) in zip(payloads, members, strict=True) if beat]


async def get(url: str) -> bytes:
    """The body of an answer with status 200. Raises ReelstreamError for any other, and for none."""
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            answer = await client.get(url)
    except httpx.HTTPError as error:
        raise ReelstreamError(f"{url} does not answer: {error}") from None
    if answer.status_code != 200:
        raise ReelstreamError(f"{url} answered {answer.status_code}")
    return answer.content
