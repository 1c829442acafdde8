"""The way into Kafka: everything is acknowledged before the memory says that it was published."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.errors import ServiceUnavailable
from schemas.events import Interaction
from schemas.settings import Settings
from schemas.topics import EVENTS_A_MESSAGE, owner

_encode = msgspec.json.Encoder().encode


class _Message(NamedTuple):
    topic: str
    partition: int
    key: bytes
    value: bytes | None


class Publisher:
    """Events in arrays, rows one by one as their topics are compacted. Everything raises ServiceUnavailable."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self._producer = producer
        self._partitions = partitions

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings) -> AsyncIterator["Publisher"]:
        servers = settings.require("KAFKA_BOOTSTRAP_SERVERS")
        producer = AIOKafkaProducer(
            bootstrap_servers=servers, acks="all", enable_idempotence=settings.kafka_idempotence,
            compression_type="lz4", linger_ms=5, max_batch_size=256 * 1024, max_request_size=4 << 20,
            request_timeout_ms=20_000,
        )  # fmt: skip
        try:
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                raise ServiceUnavailable(f"Kafka at {servers} does not answer ({error}). Is it running?") from error
            yield cls(producer, settings.kafka_partitions)
        finally:
            await producer.stop()

    async def events(self, events: Iterable[Interaction]) -> None:
        """In their order for each user."""
        by_partition: defaultdict[int, list[Interaction]] = defaultdict(list)
        for event in events:
            by_partition[owner(event.username, self._partitions)].append(event)
        await self._send(
            _Message(topics.INTERACTIONS, partition, part[0].username.encode(), _encode(part))
            for partition, of_partition in by_partition.items()
            for part in (
                of_partition[at : at + EVENTS_A_MESSAGE] for at in range(0, len(of_partition), EVENTS_A_MESSAGE)
            )
        )

    async def rows(self, topic: str, rows: Mapping[str, bytes | None]) -> None:
        """Key → row; None deletes it."""
        await self._send(
            _Message(topic, owner(key, self._partitions), key.encode(), value) for key, value in rows.items()
        )

    async def _send(self, messages: Iterable[_Message]) -> None:
        try:
            waiting = [
                await self._producer.send(message.topic, message.value, message.key, message.partition)
                for message in messages
            ]
            await asyncio.gather(*waiting)
        except (KafkaError, AssertionError) as error:  # aiokafka asserts that the topic has the partition
            raise ServiceUnavailable(
                f"Kafka did not acknowledge ({error!r}). Is it running, and were its topics made (reelstream topics)? "
                "Collect again: what arrived counts once."
            ) from error
