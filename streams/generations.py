"""Which generation of the state the agents work on, and the end of their work when there is none."""

from typing import Any

from redis.asyncio import Redis

from schemas import generation, keys, marks
from schemas.generation import Generation
from schemas.marks import M


class NoState(Exception):
    """The state is not there or is being built: the batch waits for a rebuild (streams.rebuild)."""


async def current(redis: Redis) -> Generation:
    """The generation that is ready. Raises NoState, RedisError."""
    payload: Any = await redis.get(keys.GENERATION)
    found = generation.decode(payload)
    if found is None or not found.ready:
        raise NoState("the state in Redis is being rebuilt" if found else "the state in Redis is gone")
    return found


async def current_mark(redis: Redis, key: str, kind: type[M]) -> tuple[bytes, M]:
    """A mark as stored and decoded. Raises NoState when it belongs to no generation that is ready."""
    return await mark_of(redis, await current(redis), key, kind)


async def mark_of(redis: Redis, found: Generation, key: str, kind: type[M]) -> tuple[bytes, M]:
    """A mark of that generation as stored and decoded. Raises NoState when there is none."""
    stored: Any = await redis.get(key) or b""
    mark = marks.decode(stored, kind)
    if mark.generation != found.id:
        raise NoState(f"{key} is gone or of another generation")
    return stored, mark
