"""Batches of what a stream brings: in order, bounded, paced, retried."""

import asyncio
from types import SimpleNamespace

import faust
import pytest

from streams.arrivals import arrivals
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


class Queue(asyncio.Queue):
    """A channel's queue of messages of the generations given; afterwards Faust ends the stream."""

    def __init__(self, *generations: int) -> None:
        super().__init__()
        for offset, generation in enumerate(generations):
            self.put_nowait(
                SimpleNamespace(message=SimpleNamespace(offset=offset, generation_id=generation, tracked=False))
            )

    async def get(self):
        raise StopAsyncIteration


async def test_messages_from_before_a_rebalance_are_left_and_the_others_tracked_until_the_stream_ends():
    tracked: list[int] = []
    app = SimpleNamespace(
        consumer_generation_id=2,
        flow_control=SimpleNamespace(is_active=lambda: True),
        consumer=SimpleNamespace(track_message=lambda message: tracked.append(message.offset)),
    )
    stream = SimpleNamespace(app=app, channel=SimpleNamespace(queue=Queue(1, 2, 1, 2)))
    assert [event.message.offset async for event in arrivals(stream)] == tracked == [1, 3]


async def test_nothing_is_taken_while_partitions_are_dealt_anew():
    app = SimpleNamespace(consumer_generation_id=2, flow_control=SimpleNamespace(is_active=lambda: False))
    stream = SimpleNamespace(app=app, channel=SimpleNamespace(queue=Queue(2, 2)))
    assert [event async for event in arrivals(stream)] == []
