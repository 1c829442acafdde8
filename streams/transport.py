"""Faust's Kafka transport: the fetch wait as a setting (the driver has 1,500 ms built in), and a goodbye when stopped.

The wait matters for brokers that don't wake a waiting fetch when a message arrives: there the wait is the latency.
"""

import aiokafka
from faust.transport.drivers import aiokafka as driver


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    fetch_max_wait_ms: int

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.fetch_max_wait_ms
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


def transport_class(fetch_max_wait_ms: int) -> type[driver.Transport]:
    """A transport whose consumers let the broker hold an empty fetch for that long."""
    wait = fetch_max_wait_ms

    class ConsumerThread(_ConsumerThread):
        fetch_max_wait_ms = wait

    class Consumer(driver.Consumer):
        def _new_consumer_thread(self) -> ConsumerThread:
            return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    class Transport(driver.Transport):
        pass

    Transport.Consumer = Consumer
    return Transport
