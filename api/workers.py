"""The workers, as their heartbeats in Redis tell."""

import time

from schemas import keys
from schemas.heartbeat import TTL_SECONDS, Heartbeat, decode

from .redis import RedisBytes


async def heartbeats(redis: RedisBytes) -> list[Heartbeat]:
    """Workers that beat within TTL_SECONDS, by id. Raises RedisError."""
    ids = await redis.zrangebyscore(keys.WORKERS, time.time() - TTL_SECONDS, "+inf")
    if not ids:
        return []
    payloads = await redis.mget([keys.worker(worker_id.decode()) for worker_id in ids])
    return sorted((decode(payload) for payload in payloads if payload), key=lambda worker: worker.id)
