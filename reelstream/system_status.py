"""What runs and how far it is, as `reelstream status` shows it. Works while parts are down."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from api.models import MODELS
from schemas import generation, keys, models
from schemas.generation import Generation
from schemas.settings import Settings

from . import parts, redis_memory
from .embedded import broker, postgres, valkey
from .redis_memory import RedisMemory


class Worker(msgspec.Struct):
    """lag: messages not applied yet. freshness: quantile → seconds from produced to applied."""

    id: str
    role: str
    pid: int
    lag: int
    freshness: dict[str, float]


class Status(msgspec.Struct):
    """parts: name → `up`, or `down: why`. posts: known posts. memory: of Redis. state: which building of it that is
    (schemas.generation). All three None when Redis is down; state also when there is none."""

    parts: dict[str, str]
    workers: list[Worker]
    models: dict[str, str]
    posts: int | None
    memory: RedisMemory | None = None
    state: Generation | None = None


async def look(settings: Settings, api_url: str) -> Status:
    """Asks every part, side by side."""
    names = ("kafka", "redis", "postgresql", "api")
    kafka, redis_url, database = settings.kafka_bootstrap_servers, settings.redis_url, settings.database_url
    states = await asyncio.gather(
        _state("KAFKA_BOOTSTRAP_SERVERS", kafka and broker.answers(kafka)),
        _state("REDIS_URL", redis_url and valkey.answers(redis_url)),
        _state("DATABASE_URL", database and postgres.answers(database)),
        _state("", parts.get(f"{api_url}/health/live")),
    )
    status = Status(dict(zip(names, states, strict=True)), [], {}, None)
    if redis_url and status.parts["redis"] == "up":
        await _read_redis(redis_url, settings.kafka_partitions, status)
    return status


async def _state(variable: str, probe: Awaitable[object] | str | None) -> str:
    if probe is None or isinstance(probe, str):
        return f"down: {variable} is not set"
    try:
        await probe
    except Exception as error:
        return f"down: {error}"
    return "up"


async def _read_redis(url: str, partitions: int, status: Status) -> None:
    status.workers = [
        Worker(beat.id, beat.role, beat.pid, sum(beat.lag.values()), beat.freshness)
        for beat, _ in await parts.heartbeats(url)
    ]
    client = redis.asyncio.from_url(url, socket_timeout=2)
    try:
        for model in MODELS:
            if payload := await client.get(keys.model_current(model)):
                status.models[model] = models.decode_version(payload).version
        status.posts = sum([await client.scard(keys.post_ids(partition)) for partition in range(partitions)])
        stored: Any = await client.get(keys.GENERATION)
        status.state = generation.decode(stored)
        status.memory = await redis_memory.measure(client, partitions)
    except RedisError as error:
        status.parts["redis"] = f"down: {error}"
    finally:
        await client.aclose()
