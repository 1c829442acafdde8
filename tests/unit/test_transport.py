"""How our consumer hands messages to Faust: in one step when nothing has to be waited for."""

import asyncio
from typing import Any

import pytest

from streams.transport import transport_class


class Stub:
    """What `wait_first` needs of a Faust service."""

    def __init__(self) -> None:
        self._stopped, self._crashed, self.suspend_flow = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.loop = asyncio.get_running_loop()

    @property
    def should_stop(self) -> bool:
        return self._stopped.is_set() or self._crashed.is_set()


@pytest.fixture
async def consumer() -> Any:
    return type("Consumer", (Stub, transport_class(20).Consumer), {"__init__": Stub.__init__})()


async def hand_over(queue: "asyncio.Queue[int]", number: int) -> int:
    await queue.put(number)
    return number


async def test_a_message_with_room_is_handed_over_without_a_task(consumer: Any):
    queue: asyncio.Queue[int] = asyncio.Queue()
    before = len(asyncio.all_tasks())
    waiting = consumer.wait_first(hand_over(queue, 1), consumer.suspend_flow.wait())
    with pytest.raises(StopIteration) as done:
        waiting.send(None)  # done before the event loop had a turn
    assert done.value.value.results == [1]
    assert (queue.get_nowait(), len(asyncio.all_tasks())) == (1, before)


async def test_a_message_without_room_waits_and_is_handed_over_once(consumer: Any):
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
    await queue.put(0)
    waiting = asyncio.create_task(consumer.wait_first(hand_over(queue, 1), consumer.suspend_flow.wait()))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert queue.get_nowait() == 0
    assert (await waiting).results == [1]
    assert (queue.get_nowait(), queue.empty()) == (1, True)


@pytest.mark.parametrize("event", ["suspend_flow", "_stopped"])
async def test_what_waits_for_room_is_given_up_when_the_flow_stops(consumer: Any, event: str):
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
    await queue.put(0)
    waiting = asyncio.create_task(consumer.wait_first(hand_over(queue, 1), consumer.suspend_flow.wait()))
    await asyncio.sleep(0.01)
    getattr(consumer, event).set()
    await waiting
    queue.get_nowait()
    await asyncio.sleep(0.01)
    assert queue.empty()


async def test_errors_come_through(consumer: Any):
    async def fails() -> None:
        raise ValueError("no callback")

    async def fails_later() -> None:
        await asyncio.sleep(0.001)
        raise ValueError("no callback")

    for failing in (fails, fails_later):
        with pytest.raises(ValueError, match="no callback"):
            await consumer.wait_first(failing(), consumer.suspend_flow.wait())
