"""`GET /health/live` and `/health/ready`."""

import asyncio

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import ReelstreamError
from schemas.heartbeat import ROLES, Heartbeat
from schemas.messages import PartHealth, Readiness, WorkerHealth

from ..responses import json_response
from ..serving import Serving, serving_of
from ..workers import heartbeats


async def live(request: Request) -> Response:
    """The process answers."""
    return json_response({"status": "success"})


async def ready(request: Request) -> Response:
    """Every part and worker; 200 when all serve, 503 otherwise."""
    serving = serving_of(request)
    (redis, workers), kafka, postgres = await asyncio.gather(
        _redis(serving), _kafka(serving), serving.postgres.health()
    )
    mirror = PartHealth(
        up=serving.mirror.problem is None,
        detail=serving.mirror.problem or f"{serving.mirror.catalogue.count_posts()} posts to serve",
    )
    missing = [role for role in ROLES if all(worker.role != role for worker in workers)]
    parts = {
        "redis": redis,
        "kafka": kafka,
        "postgres": postgres,
        "mirror": mirror,
        "workers": PartHealth(
            up=not missing,
            detail=f"no worker of role {' or '.join(missing)} beats" if missing else f"{len(workers)} beating",
        ),
    }
    up = all(part.up for part in parts.values())
    shown = [
        WorkerHealth(id=worker.id, pid=worker.pid, role=worker.role, partitions=worker.partitions,
                     lag=sum(worker.lag.values()))
        for worker in workers
    ]  # fmt: skip
    return json_response(
        Readiness(status="ready" if up else "not_ready", parts=parts, workers=shown), 200 if up else 503
    )


async def _redis(serving: Serving) -> tuple[PartHealth, list[Heartbeat]]:
    try:
        return PartHealth(up=True, detail="answers"), await heartbeats(serving.redis)
    except (RedisError, OSError) as error:
        return PartHealth(up=False, detail=f"does not answer: {error}"), []


async def _kafka(serving: Serving) -> PartHealth:
    try:
        await serving.producer.ping()
    except ReelstreamError as error:
        return PartHealth(up=False, detail=str(error))
    return PartHealth(up=True, detail="answers")
