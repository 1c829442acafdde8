"""Micro-batches of a Faust stream: all that waits, at once, acknowledged only after its effects.

Not `Stream.take`: it stalled once in a dozen runs under load. Here an event that comes alone is handed on after a
millisecond, and a backlog is let in for up to 50: Faust hands over 15 events a millisecond, so without that pause
batches of 10 were applied one after the other, at six times the cost of an event.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import accumulate, islice
from typing import NamedTuple, Protocol

import asyncpg
import faust
import structlog
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from .arrivals import arrivals, begin
from .generations import NoState
from .progress import Progress
from .record import Record, kept_headers

log = structlog.get_logger()

SERVICE_ERRORS = (RedisError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, NoState)
"""What the agents meet when a service does not answer."""
MOST_MESSAGES = 2_000
"""Messages in a batch: what Faust hands over in those 50 ms."""
MOST_BYTES = 16 << 20
"""Of messages that wait for the next batch: 100 arrays of 1,000 events, with one message more."""


SLICE_SECONDS = 0.001
SLICES = 50
BACKLOG = 5
"""Events in a slice that mean a backlog. A steady 500 a second bring half an event, and are not waited for."""
PACE_SECONDS = 0.02
"""From one batch to the next, so that a steady stream is not applied event by event: at 500 a second that took both
cores and made the median of event → feed 81 ms. An event that comes alone finds the pause long over."""
HEAVY_BYTES = 8 * 1024
"""Item signals of three events and more. With 64 KB, at 500 events a second on Apache Kafka, small batches of stage 2
took so much of the core that the median of event → feed was 73 ms instead of 32."""


BACKLOG_BYTES = 512 * 1024
"""Item signals of a thousand events: nothing of a steady stream."""


class Pace(NamedTuple):
    """Seconds from one batch to the next, at least. heavy: after a batch of HEAVY_BYTES and more. backlog: of
    BACKLOG_BYTES and more. most_bytes: of a batch, with one message more; a rebalance waits for the batch in hand."""

    seconds: float = PACE_SECONDS
    heavy: float = PACE_SECONDS
    backlog: float = PACE_SECONDS
    most_bytes: int = MOST_BYTES

    def after(self, records: list[Record]) -> float:
        size = sum(len(record.value or b"") for record in records)
        return self.backlog if size >= BACKLOG_BYTES else self.heavy if size >= HEAVY_BYTES else self.seconds


STEADY = Pace()


class Agent(Protocol):
    """What an agent does with the messages of one partition."""

    async def apply(self, partition: int, records: list[Record]) -> None:
        """Gives messages their effects. Idempotent: it is called again with the same after any failure."""

    def forget(self, partition: int) -> None:
        """Drops what is held in memory of a partition; the next apply loads it again."""


class Conflict(Exception):
    """The partition's mark is not what this worker left: another owner wrote meanwhile. Load again and apply again."""


async def batches(stream: faust.Stream, pace: Pace, most: int = MOST_MESSAGES) -> AsyncIterator[list[Record]]:
    """Yields what has arrived, in order, and acknowledges it when the next batch is asked for."""
    waiting: list[faust.EventT] = []
    size = 0
    arrived, room = asyncio.Event(), asyncio.Event()

    async def collect() -> None:
        nonlocal size
        async for event in arrivals(stream):
            waiting.append(event)
            size += _size(event)
            arrived.set()
            if len(waiting) >= 2 * most or size >= MOST_BYTES:
                room.clear()
                await room.wait()

    next_at = 0.0
    collecting = asyncio.create_task(collect())
    collecting.add_done_callback(lambda _: arrived.set())
    try:
        while True:
            await arrived.wait()
            arrived.clear()
            await asyncio.sleep(next_at - asyncio.get_running_loop().time())
            started = asyncio.get_running_loop().time()
            await _settle(waiting, most)
            taken = waiting[: _fitting(waiting, most, pace.most_bytes)]
            del waiting[: len(taken)]
            batch = [event for event in taken if begin(stream, event)]
            size = sum(map(_size, waiting))
            room.set()
            if waiting or collecting.done():
                arrived.set()
            if not batch:
                if collecting.done() and not waiting:
                    collecting.result()
                    return
                continue
            records = [_record(event) for event in batch]
            next_at = started + pace.after(records)
            yield records
            for event in batch:
                event.ack()
    finally:
        collecting.cancel()
        with suppress(asyncio.CancelledError):
            await collecting


def _size(event: faust.EventT) -> int:
    return len(event.message.value or b"")


def _fitting(waiting: list[faust.EventT], most: int, most_bytes: int) -> int:
    """How many of those that wait go into a batch."""
    ends = accumulate(map(_size, islice(waiting, most)))
    return next((count for count, end in enumerate(ends, 1) if end >= most_bytes), min(len(waiting), most))


async def _settle(waiting: list[faust.EventT], most: int) -> None:
    """Waits while a backlog pours in, so that it fills a batch; for a lone event, one slice."""
    for _ in range(SLICES):
        before = len(waiting)
        await asyncio.sleep(SLICE_SECONDS)
        if len(waiting) < before + BACKLOG or len(waiting) >= most:
            return


def _record(event: faust.EventT) -> Record:
    message = event.message
    place = message.topic, message.partition, message.offset
    return Record(*place, message.timestamp, message.key, message.value, kept_headers(message.headers))


async def apply_batches(
    stream: faust.Stream, agent: Agent, progress: Progress, pace: Pace = STEADY, most: int = MOST_MESSAGES
) -> None:
    """Runs an agent: each batch is split by partition and applied until it succeeds.

    Broken infrastructure and conflicts are retried with back-off, after the agent forgot what it believed of the
    partition; nothing is acknowledged meanwhile, so the lag shows it.
    """
    async for batch in batches(stream, pace, most):
        by_partition: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for record in batch:
            by_partition[record.topic, record.partition].append(record)
        await asyncio.gather(*(_apply(agent, progress, records) for records in by_partition.values()))


async def _apply(agent: Agent, progress: Progress, records: list[Record]) -> None:
    topic, partition = records[0].topic, records[0].partition
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(Exception), wait=wait_exponential_jitter(initial=0.05, max=2.0)
    ):
        with attempt:
            try:
                await agent.apply(partition, records)
            except BaseException:
                agent.forget(partition)
                raise
        outcome = attempt.retry_state.outcome
        if outcome is None or not outcome.failed:
            progress.waiting.pop((topic, partition), None)
            return
        error = outcome.exception()
        if isinstance(error, SERVICE_ERRORS):
            progress.waiting[topic, partition] = repr(error)
        tell = log.info if isinstance(error, NoState) else log.warning
        tell(
            "batch not applied, trying again", agent=type(agent).__name__, topic=topic, partition=partition,
            offset=records[0].offset, error=repr(error),
        )  # fmt: skip
