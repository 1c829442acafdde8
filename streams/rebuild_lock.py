"""The lock that lets one rebuild at a time begin; a courtesy, as marks fence off whoever writes beside it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas import keys

# Only while it is ours: one that was paused for longer than the lock lasts may find another's.
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('EXPIRE', KEYS[1], ARGV[2]) end"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


@asynccontextmanager
async def rebuild_lock(redis: Redis, seconds: int) -> AsyncIterator[bool]:
    """Whether the lock was free; then it is held until the end, however long that takes, and for `seconds` after the
    holder died. Raises RedisError when it can't be taken."""
    token = uuid.uuid4().hex
    if not await redis.set(keys.REBUILD_LOCK, token, nx=True, ex=seconds):
        yield False
        return
    renewing = asyncio.create_task(_renew(redis, token, seconds))
    try:
        yield True
    finally:
        renewing.cancel()
        with suppress(RedisError):
            await redis.eval(_RELEASE, 1, keys.REBUILD_LOCK, token)


async def _renew(redis: Redis, token: str, seconds: int) -> None:
    while True:
        await asyncio.sleep(seconds / 3)
        with suppress(RedisError):  # whoever rebuilds meets the same error, and says so
            await redis.eval(_RENEW, 1, keys.REBUILD_LOCK, token, seconds)
