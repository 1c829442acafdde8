"""A worker's heartbeat: every second, what it owns, how far behind it is, and how fresh, into Redis."""

import os
import time

import faust
import structlog
from faust.types import TP
from redis.exceptions import RedisError

from schemas import heartbeat, keys
from schemas.heartbeat import TTL_SECONDS, Heartbeat

from .progress import Place
from .services import Services

log = structlog.get_logger()


class HeartbeatWriter:
    """Knows a worker by role and slot; one with the same name takes its place."""

    def __init__(self, app: faust.App, services: Services, role: str, slot: int) -> None:
        self._app = app
        self._services = services
        self._id = f"{role}-{slot}"
        self._role = role
        self._started_at = time.time()

    async def beat(self) -> None:
        """Writes one heartbeat; Redis being down is logged, the agents wait for it themselves."""
        beat = self._heartbeat()
        now = time.time()
        try:
            async with self._services.redis.pipeline(transaction=False) as pipeline:
                pipeline.set(keys.worker(self._id), heartbeat.encode(beat), ex=TTL_SECONDS)
                pipeline.zadd(keys.WORKERS, {self._id: now})
                pipeline.zremrangebyscore(keys.WORKERS, "-inf", now - 60)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            log.warning("heartbeat not written", error=repr(error))

    def owned(self) -> list[tuple[Place, int]]:
        """Each partition of this worker, with the offset it applies next."""
        consumer, applied = self._app.consumer, self._services.progress.applied
        return [
            ((tp.topic, tp.partition), applied.get((tp.topic, tp.partition), consumer._committed_offset.get(tp) or 0))
            for tp in sorted(consumer.assignment())
        ]

    def _heartbeat(self) -> Heartbeat:
        progress, owned = self._services.progress, self.owned()
        lag = {}
        for (topic, partition), offset in owned:
            end = self._app.consumer.highwater(TP(topic, partition))
            if end is not None:  # the first fetch tells it
                lag[f"{topic}-{partition}"] = max(end - offset, 0)
        return Heartbeat(
            id=self._id,
            pid=os.getpid(),
            role=self._role,
            started_at=self._started_at,
            partitions=[f"{topic}-{partition}" for (topic, partition), _ in owned],
            lag=lag,
            freshness=progress.freshness(),
            counters=dict(progress.counters),
            metrics=dict(progress.metrics),
        )
