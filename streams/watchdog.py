"""The watchdog: ends a worker that has messages to apply and doesn't, so that it is started again.

Agents were seen to stop without an error after days (faust #175, #523, #532). The end of a log can't be asked of every
broker, so the watchdog looks for a message at the place where the worker stands.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from aiokafka.errors import KafkaError

from .log_reader import LogReader
from .progress import Place, Progress

SECONDS = 60.0
CHECKS = 12
"""Of the partitions, in those seconds."""
EXIT_STATUS = 3
log = structlog.get_logger()


@dataclass
class _Standing:
    """A partition that does not move. message_at: since when a message is known to wait there."""

    offset: int
    since: float
    message_at: float | None = None


class Watchdog:
    """owned: the partitions of this worker, with the offset that each applies next.

    A partition that waits for a service that is down, and says so, is left alone: a new process would wait as well.
    """

    def __init__(
        self, owned: Callable[[], Iterable[tuple[Place, int]]], progress: Progress, reader: LogReader,
        seconds: float = SECONDS,
    ) -> None:  # fmt: skip
        self._owned = owned
        self._progress = progress
        self._reader = reader
        self._seconds = seconds
        self._standing: dict[Place, _Standing] = {}

    async def run(self) -> None:
        """Checks for ever; ends the process with EXIT_STATUS when a partition is stuck."""
        while True:
            await asyncio.sleep(self._seconds / CHECKS)
            try:
                stuck = await self.stuck(time.monotonic())
            except (KafkaError, OSError) as error:
                log.warning("watchdog could not look into the log", error=repr(error))
                continue
            if stuck:
                names = [f"{topic}-{partition}" for topic, partition in stuck]
                log.critical("no progress although messages wait: ending, to be started again", partitions=names)
                # Whatever hangs would also hang an orderly stop; what was not acknowledged is delivered again.
                os._exit(EXIT_STATUS)

    async def stuck(self, now: float) -> list[Place]:
        """Partitions that did not move for `seconds`, with a message waiting for half of that. Raises KafkaError."""
        standing: dict[Place, _Standing] = {}
        for place, offset in self._owned():
            before = self._standing.get(place)
            moved = before is None or before.offset != offset or place in self._progress.waiting
            standing[place] = _Standing(offset, now) if moved or before is None else before
        self._standing = standing
        idle = {
            place: each.offset
            for place, each in standing.items()
            if each.message_at is None and now - each.since >= self._seconds / 2
        }
        if idle:
            waiting = await self._reader.peek(idle)
            for place in idle:
                if place in waiting:
                    standing[place].message_at = now
                else:
                    standing[place].since = now  # nothing to do is no standing still
        return [
            place
            for place, each in standing.items()
            if each.message_at is not None and now - each.message_at >= self._seconds / 2
        ]
