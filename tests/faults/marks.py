"""Watches the marks in Redis while workers come, freeze and go: a mark that moves back is a stale write."""

import asyncio
from typing import Any, Self

from redis.asyncio import Redis

from schemas import keys, marks
from schemas.marks import InteractionsMark, Mark

from .system import PARTITIONS

POLL_SECONDS = 0.02


class MarksWatch:
    """A context: polls all marks from entry to exit. backwards: each move back of a mark within a log, as a line."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url)
        self._last: dict[str, Mark] = {}
        self.backwards: list[str] = []

    async def __aenter__(self) -> Self:
        await self._look()
        self._polling = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._polling.cancel()
        await self._redis.aclose()

    def applied(self, partition: int) -> int:
        """The last offset of a partition of `interactions` that was applied when last looked."""
        mark = self._last[keys.interactions_mark(partition)]
        assert isinstance(mark, InteractionsMark)
        return mark.offset

    async def _poll(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        kinds = marks.all_keys(PARTITIONS)
        stored: Any = await self._redis.mget(list(kinds))
        for (key, kind), payload in zip(kinds.items(), stored, strict=True):
            mark, before = marks.decode(payload, kind), self._last.get(key)
            if (
                before
                and (before.generation, before.log) == (mark.generation, mark.log)
                and mark.offset < before.offset
            ):
                self.backwards.append(f"{key} moved back from {before.offset} to {mark.offset}")
            self._last[key] = mark
