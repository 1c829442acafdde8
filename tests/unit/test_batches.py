"""Batches of what a stream brings: in order, bounded, paced, retried."""

import asyncio
from types import SimpleNamespace

import faust
import pytest

from streams.arrivals import begin
from streams.batches import BACKLOG_BYTES, HEAVY_BYTES, MOST_BYTES, Pace, apply_batches, batches
from streams.progress import Progress
from streams.record import Record


class Recording:
    """An agent that notes what it is given, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.forgotten = failures, 0
        self.applied: list[Record] = []

    async def apply(self, partition: int, records: list[Record]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("Redis is away")
        self.applied += records

    def forget(self, partition: int) -> None:
        self.forgotten += 1


@pytest.mark.parametrize("failures", [0, 3])
async def test_an_agent_gets_every_event_in_order_also_after_failures(failures):
    app = faust.App("test", store="memory://", web_enabled=False, autodiscover=False)
    recording = Recording(failures)
    topic = app.topic("t", value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")

    @app.agent(topic)
    async def listen(stream):
        await apply_batches(stream, recording, Progress())

    async with listen.test_context() as agent:
        for number in range(50):
            await agent.put(b"%d" % number, key=b"k", wait=False)
        for _ in range(1_000):
            if len(recording.applied) == 50:
                break
            await asyncio.sleep(0.02)
    assert [record.value for record in recording.applied] == [b"%d" % number for number in range(50)]
    assert recording.forgotten == failures


class Heavy:
    """A stream of messages of a megabyte, for ever; counts what was taken."""

    def __init__(self) -> None:
        self.taken = 0
        self.channel = self.queue = self
        self.app = None

    def empty(self):
        return False

    def get_nowait(self):
        self.taken += 1
        place = {"topic": "t", "partition": 0, "offset": self.taken, "timestamp": 0.0}
        message = SimpleNamespace(**place, key=None, value=MEGABYTE, headers=None, tracked=True)
        return SimpleNamespace(message=message, ack=lambda: None)


MEGABYTE = bytes(1 << 20)


async def test_what_waits_for_a_batch_is_bounded_in_bytes():
    stream, taken = Heavy(), []
    reading = batches(stream, Pace(0.0, 0.0))
    for _ in range(3):
        batch = await anext(reading)
        assert len(batch) <= MOST_BYTES // len(MEGABYTE)
        taken += [record.offset for record in batch]
        await asyncio.sleep(0.05)
        assert stream.taken - len(taken) <= MOST_BYTES // len(MEGABYTE)
    assert taken == list(range(1, len(taken) + 1))
    await reading.aclose()


def test_freshness_is_told_in_quantiles():
    progress = Progress()
    assert progress.freshness() == {}
    progress.done([SimpleNamespace(topic="t", partition=0, offset=7, at=1.0)])
    assert set(progress.freshness()) == {"0.5", "0.99"}
    assert progress.applied == {("t", 0): 8}


def test_a_pause_is_longer_after_a_batch_that_was_heavy():
    pace = Pace(0.02, heavy=0.2, backlog=0.5)
    light, heavy = Record("t", 0, 0, 1.0, None, b"x"), Record("t", 0, 1, 1.0, None, b"x" * HEAVY_BYTES)
    assert pace.after([light, light, Record("t", 0, 2, 1.0, b"deleted", None)]) == 0.02
    assert pace.after([light, heavy]) == 0.2
    assert pace.after([heavy] * (BACKLOG_BYTES // HEAVY_BYTES)) == 0.5


class Partition:
    """A partition as Faust hands it over: what was not committed comes again after a rebalance.

    Stands for the stream, its channel and queue, the app, its consumer and its flow control.
    """

    def __init__(self, messages: int) -> None:
        self.messages, self.committed, self.read = messages, 0, 0
        self.consumer_generation_id, self.dealing = 1, False
        self.begun: set[int] = set()
        self.app = self.channel = self.queue = self.flow_control = self.consumer = self

    def is_active(self) -> bool:
        return not self.dealing

    def track_message(self, message: SimpleNamespace) -> None:
        self.begun.add(message.offset)

    def empty(self) -> bool:
        return self.dealing or self.read == self.messages

    async def get(self) -> SimpleNamespace:
        while self.empty():
            if self.committed == self.messages:
                raise StopAsyncIteration  # as Faust ends a stream
            await asyncio.sleep(0.001)
        return self.get_nowait()

    def get_nowait(self) -> SimpleNamespace:
        offset, generation = self.read, self.consumer_generation_id
        self.read += 1
        place = {"topic": "t", "partition": 0, "offset": offset, "timestamp": 0.0}
        message = SimpleNamespace(
            **place, key=None, value=KILOBYTE, headers=None, tracked=False, generation_id=generation
        )
        return SimpleNamespace(message=message, ack=lambda: self._ack(offset, generation))

    def _ack(self, offset: int, generation: int) -> None:
        assert generation == self.consumer_generation_id, "only what a rebalance waited for"
        self.begun.remove(offset)
        self.committed = offset + 1

    def deal(self) -> None:
        """Ends a rebalance that began when `dealing` was set."""
        self.consumer_generation_id += 1
        self.dealing, self.read = False, self.committed


KILOBYTE = bytes(1024)
PARTIES = Pace(0.0, 0.0, 0.0, most_bytes=100 * len(KILOBYTE))


async def test_a_rebalance_waits_for_one_batch_and_nothing_is_lost_or_comes_twice():
    partition = Partition(2_000)
    applied, left_behind = [], 0
    async for batch in batches(partition, PARTIES, most=500):
        assert len(batch) == len(partition.begun) <= 100, "whatever else waits holds nobody up"
        await asyncio.sleep(0.005)  # more is taken meanwhile
        if len(applied) % 300 == 0 and not partition.dealing:
            partition.dealing = True
            left_behind += partition.read - batch[-1].offset - 1
            asyncio.get_running_loop().call_later(0.02, partition.deal)
        applied += [record.offset for record in batch]
    assert applied == list(range(2_000))
    assert left_behind >= 1_000, "the test has to have rebalances in the middle of a backlog"


async def test_a_message_from_before_a_rebalance_is_left_also_when_nothing_was_asked_for_meanwhile():
    partition = Partition(10)
    reading = batches(partition, PARTIES)
    event = partition.get_nowait()
    partition.dealing = True
    assert not begin(partition, event)
    partition.deal()
    assert not begin(partition, event)
    assert partition.begun == set()
    assert [record.offset for record in await anext(reading)] == list(range(10))
    await reading.aclose()


async def test_a_stream_that_faust_ends_ends_the_batches():
    reading = batches(Partition(3), PARTIES)
    assert [[record.offset for record in batch] async for batch in reading] == [[0, 1, 2]]
