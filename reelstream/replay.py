"""Replay: a data set into Kafka, users and posts first, then its interactions in time order, as if they happened now.

Times are shifted by one constant, so that the last interaction of the whole data set happens when the replay starts;
the times at which posts were made move along with them. The tail is stamped with the moment each event is sent.
Event ids stay the same, so that what was replayed before counts once.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.errors import ContractError, ReelstreamError, ServiceUnavailable
from schemas.events import Interaction
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.topics import EVENTS_A_MESSAGE, owner

from .datasets.folder import Folder

IN_FLIGHT = 500
TAIL_RATE = 4.0
CHUNK = 1_000
STEPS_A_SECOND = 20
"""A paced replay sends this often, so that a rate of 1,000 is a steady flow and not one burst a second."""

Progress = Callable[[str, int, int], None]
"""Called with what is being sent (`users`, `posts`, `events`), how many were, and of how many."""


@dataclass
class Summary:
    """What a replay sent. faults: `FILE:LINE: reason` of rows that break the contract. stopped: before its end."""

    events: int = 0
    posts: int = 0
    users: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    stopped: bool = False


@dataclass(frozen=True)
class Selection:
    """Which interactions of a data set to send: the first `limit` of all but the last `hold_back`, or its `tail`.

    What is held back, and so the tail, is half of the data set at most: a small one is not kept back as a whole.
    """

    limit: int | None = None
    hold_back: int = 0
    tail: int | None = None

    def __post_init__(self) -> None:
        if self.tail is not None and (self.limit is not None or self.hold_back):
            raise ReelstreamError("--tail sends the end of a data set: it goes without --limit and --hold-back.")

    def bounds(self, events: int) -> tuple[int, int]:
        """From which interaction to which (not included)."""
        if self.tail is not None:
            return events - min(self.tail, events // 2), events
        end = events - min(self.hold_back, events // 2)
        return 0, end if self.limit is None else min(end, self.limit)


class Sender:
    """Sends without waiting for each acknowledgement, but for no more than IN_FLIGHT at once."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self._producer = producer
        self.partitions = partitions
        self._unacknowledged: deque[asyncio.Future[Any]] = deque()

    async def send(self, topic: str, key: str, value: Any) -> None:
        await self.send_bytes(topic, key, msgspec.json.encode(value))

    async def send_bytes(self, topic: str, key: str, payload: bytes) -> None:
        await self._send(topic, key, payload, ())

    async def delete(self, topic: str, key: str, headers: Sequence[tuple[str, bytes]]) -> None:
        """Sends a null value."""
        await self._send(topic, key, None, headers)

    async def _send(self, topic: str, key: str, payload: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        partition = owner(key, self.partitions)
        self._unacknowledged.append(
            await self._producer.send(
                topic, payload, key=key.encode(), partition=partition, headers=[*headers] or None
            )
        )  # fmt: skip
        while len(self._unacknowledged) > IN_FLIGHT:
            await self._unacknowledged.popleft()

    async def settle(self) -> None:
        """Waits until the broker has everything."""
        while self._unacknowledged:
            await self._unacknowledged.popleft()


class Arrays:
    """Events in arrays for each partition, in order within it. most: events a message. sent: told how many went."""

    def __init__(self, sender: Sender, most: int, sent: Callable[[int], None] = lambda _: None) -> None:
        self._sender, self._most, self._sent = sender, most, sent
        self._waiting: defaultdict[int, list[Interaction]] = defaultdict(list)

    async def add(self, event: Interaction) -> None:
        partition = owner(event.username, self._sender.partitions)
        self._waiting[partition].append(event)
        if len(self._waiting[partition]) >= self._most:
            await self._send(partition)

    async def flush(self) -> None:
        """Sends what waits."""
        for partition in list(self._waiting):
            await self._send(partition)

    async def _send(self, partition: int) -> None:
        events = self._waiting.pop(partition)
        await self._sender.send(topics.INTERACTIONS, events[0].username, events)
        self._sent(len(events))


async def replay(
    folder: Folder, settings: Settings, selection: Selection, *, rate: float | None, progress: Progress
) -> Summary:
    """Publishes the selected part of a data set; `rate` is in events/s, None as fast as it goes.

    The tail is events alone: its posts and users went with the rest. Cancelled, it ends what it began and returns.
    Raises ReelstreamError when the data set can't be used, ServiceUnavailable when Kafka does not answer.
    """
    started, now = time.monotonic(), datetime.now(UTC)
    summary = Summary()
    try:
        total, last = await asyncio.to_thread(_survey, folder, summary)
        start, end = selection.bounds(total)
        events = islice(_good(folder.events(), None), start, end)
        async with sending(settings) as sender:
            if selection.tail is not None:
                await _send_events(events, end - start, sender, summary, None, rate or TAIL_RATE, progress)
            else:
                await _send_rows(folder, sender, summary, now - last, now, progress)
                await _send_events(events, end - start, sender, summary, now - last, rate, progress)
    except asyncio.CancelledError:
        summary.stopped = True
    summary.seconds = time.monotonic() - started
    return summary


def _survey(folder: Folder, summary: Summary) -> tuple[int, datetime]:
    """Number of good interactions and the time of the last, before anything is sent."""
    total, last = 0, datetime.now(UTC)
    for event in _good(folder.events(), summary):
        total += 1
        last = event.occurred_at or last
    return total, last


def _good(rows: Iterable[tuple[str, Any]], summary: Summary | None) -> Iterator[Any]:
    """Rows that keep the contract; the others are noted in the summary."""
    for place, value in rows:
        if not isinstance(value, ContractError):
            yield value
        elif summary is not None:
            summary.faults.append(f"{place}: {value}")


async def _send_rows(
    folder: Folder, sender: Sender, summary: Summary, shift: timedelta, now: datetime, progress: Progress
) -> None:
    """One message a row, as compaction keeps the newest message of a key. All are acknowledged before any event."""
    users = list(_good(folder.users(), summary))
    for user in users:
        await sender.send(topics.USERS, user.username, user)
        summary.users += 1
        progress("users", summary.users, len(users))
    posts = list(_good(folder.posts(), summary))
    for post in posts:
        await sender.send(topics.POSTS, str(post["id"]), _made_later(post, shift, now))
        summary.posts += 1
        progress("posts", summary.posts, len(posts))
    await sender.settle()


def _made_later(post: dict[str, Any], shift: timedelta, now: datetime) -> dict[str, Any]:
    """The post with its time moved by `shift`, yet never into the future: its age at each interaction stays true."""
    made = decode_post(msgspec.json.encode(post)).created_at
    if not made:
        return post
    moved = min(made + shift.total_seconds(), now.timestamp())
    return {**post, "created_at": max(0, round(moved * 1000))}


async def _send_events(
    events: Iterator[Interaction], total: int, sender: Sender, summary: Summary, shift: timedelta | None,
    rate: float | None, progress: Progress,
) -> None:  # fmt: skip
    """In arrays. Without a `shift` one by one, stamped as they are sent."""

    def sent(count: int) -> None:
        summary.events += count
        progress("events", summary.events, total)

    arrays = Arrays(sender, 1 if shift is None else EVENTS_A_MESSAGE, sent)
    async for chunk in _paced(events, rate):
        for event in chunk:
            event.occurred_at = datetime.now(UTC) if shift is None else (event.occurred_at or datetime.now(UTC)) + shift
            await arrays.add(event)
        if rate is not None:
            await arrays.flush()
    await arrays.flush()


async def _paced(events: Iterator[Interaction], rate: float | None) -> AsyncIterator[list[Interaction]]:
    """Chunks of events, each when its time has come at `rate` events/s."""
    size = CHUNK if rate is None else max(1, round(rate / STEPS_A_SECOND))
    started, sent = time.monotonic(), 0
    while chunk := list(islice(events, size)):
        due = started + sent / rate if rate else 0.0
        # A sleep of nothing still lets the producer work.
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield chunk
        sent += len(chunk)


@asynccontextmanager
async def sending(settings: Settings) -> AsyncIterator[Sender]:
    """A sender whose messages have all arrived when it ends. Raises ServiceUnavailable."""
    bootstrap = settings.require("KAFKA_BOOTSTRAP_SERVERS")
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=settings.kafka_idempotence,
        compression_type="lz4", linger_ms=5, max_batch_size=256 * 1024,
    )  # fmt: skip
    try:
        try:
            await producer.start()
            sender = Sender(producer, settings.kafka_partitions)
            try:
                yield sender
            finally:
                await sender.settle()
        finally:
            await producer.stop()
    except (KafkaError, OSError) as error:
        raise ServiceUnavailable(
            f"Kafka at {bootstrap} does not answer ({error}). Is it running, and were its topics made "
            "(reelstream topics)? What was acknowledged counts once, so the same replay can simply be run again."
        ) from error
