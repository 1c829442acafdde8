"""Faust's Kafka transport: the fetch wait as a setting (the driver has 1,500 ms built in), and a goodbye when stopped.

The wait matters for brokers that don't wake a waiting fetch when a message arrives: there the wait is the latency. Who
may be late asks for more bytes than one message has: a fetch for each of 500 messages a second took a `record` worker
.12 of a core, of which .05 are left.
"""

import asyncio
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any

import aiokafka
from faust.transport.drivers import aiokafka as driver
from mode.services import WaitResults


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    fetch_max_wait_ms: int
    fetch_min_bytes: int

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.fetch_max_wait_ms
        consumer._fetch_min_bytes = self.fetch_min_bytes
        return consumer

    async def on_thread_stop(self) -> None:
        """A worker that is told to stop leaves its group, so that the others share its partitions at once.

        A static member would not: its partitions would idle until its session is over, 6 s, which is right for one that
        was killed and comes back in its slot. aiokafka sends LeaveGroup for members without an instance id only; a
        broker takes it by the member id just as well.
        """
        if self._consumer is not None:
            self._consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()


class _Consumer(driver.Consumer):
    async def wait_first(self, *waited: Any, timeout: float | None = None) -> WaitResults:
        """Faust hands over each message through this, which makes four tasks: 15 µs of the 48 that a message takes.

        Nearly always there is room for the message, and handing it over is done in one step. Only otherwise Faust's way
        is taken, on from there.
        """
        first, *others = waited
        if asyncio.iscoroutine(first) and not self.should_stop and not self.suspend_flow.is_set():
            try:
                future = first.send(None)
            except StopIteration as done:
                for other in others:
                    other.close()
                return WaitResults([first], [done.value], False)
            first = _resumed(first, future)
        return await super().wait_first(first, *others, timeout=timeout)


async def _resumed(started: Coroutine[Any, Any, Any], future: Any) -> Any:
    """The rest of a coroutine that waits for `future`."""
    return await _rest_of(started, future)


@types.coroutine
def _rest_of(started: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:
            step = partial(started.throw, error)
        else:
            step = partial(started.send, sent)
        try:
            waits_for = step()
        except StopIteration as done:
            return done.value


def transport_class(fetch_max_wait_ms: int, fetch_min_bytes: int = 1) -> type[driver.Transport]:
    """A transport whose consumers let the broker hold a fetch for that long while it has fewer bytes."""
    wait, least = fetch_max_wait_ms, fetch_min_bytes

    class ConsumerThread(_ConsumerThread):
        fetch_max_wait_ms = wait
        fetch_min_bytes = least

    class Consumer(_Consumer):
        def _new_consumer_thread(self) -> ConsumerThread:
            return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    class Transport(driver.Transport):
        pass

    Transport.Consumer = Consumer
    return Transport
