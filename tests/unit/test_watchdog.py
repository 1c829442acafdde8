"""The watchdog: which partitions it takes for stuck."""

import pytest

from streams.progress import Progress
from streams.watchdog import Watchdog

PLACE = ("interactions", 2)


class FakeLog:
    """A log that ends at `end`."""

    def __init__(self, end: int) -> None:
        self.end = end

    async def peek(self, places):
        return {place for place, offset in places.items() if offset < self.end}


class Worker:
    """A worker that stands at `offset`, looked at by a watchdog every 5 s of a clock of its own."""

    def __init__(self, offset: int, end: int) -> None:
        self.offset, self.now = offset, 0.0
        self.log, self.progress = FakeLog(end), Progress()
        self.watchdog = Watchdog(lambda: [(PLACE, self.offset)], self.progress, self.log, seconds=60.0)

    async def stuck_after(self, seconds: float) -> bool:
        until, found = self.now + seconds, False
        while self.now < until:
            self.now += 5.0
            found = await self.watchdog.stuck(self.now) == [PLACE]
        return found


async def test_standing_still_with_a_message_waiting_is_stuck_after_a_minute():
    worker = Worker(7, end=9)
    assert not await worker.stuck_after(55)
    assert await worker.stuck_after(15)


async def test_nothing_to_do_is_no_standing_still_and_a_message_gets_its_time():
    worker = Worker(9, end=9)
    assert not await worker.stuck_after(600)
    worker.log.end = 10
    assert not await worker.stuck_after(25)
    assert await worker.stuck_after(90)


async def test_who_moves_slowly_is_not_stuck():
    worker = Worker(0, end=1000)
    for _ in range(20):
        assert not await worker.stuck_after(40)
        worker.offset += 1


@pytest.mark.parametrize("waits", [True, False])
async def test_who_waits_for_a_service_that_is_down_is_left_alone(waits):
    worker = Worker(7, end=9)
    if waits:
        worker.progress.waiting[PLACE] = "Redis is away"
    assert await worker.stuck_after(300) is not waits


async def test_a_partition_that_went_to_another_worker_is_forgotten():
    worker = Worker(7, end=9)
    await worker.stuck_after(50)
    worker.watchdog._owned = list
    assert await worker.watchdog.stuck(200.0) == []
