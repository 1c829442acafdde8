"""The way into Kafka: acknowledged by the broker, or refused within two seconds."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata
from tenacity import AsyncRetrying, wait_exponential_jitter

from schemas.errors import ServiceUnavailable
from schemas.settings import Settings

DEADLINE_SECONDS = 1.5
"""From the call to all acknowledgements; a client hears within 2 s."""
RETRY_FOR_MS = 3_000
"""What was not acknowledged is given up after this: little is sent behind the back of a client that heard 503."""
CLOSE_SECONDS = 1.0
MAX_MESSAGE_BYTES = 4 << 20
"""Before compression; an array of 1,000 events at the limit of every field makes 1.3 MB."""

MAX_BATCH_BYTES = 256 << 10
"""Of messages to one partition that go together, before compression; one batch at a time is on its way. The client's
default of 16 KB is 5 impressions: 20 in the 20 ms that a busy broker takes were fewer than the pages served."""

Acknowledged = asyncio.Future[RecordMetadata]

_log = structlog.get_logger()


class Record(NamedTuple):
    """One Kafka message. `value` None deletes the key of a compacted topic."""

    topic: str
    key: bytes
    value: bytes | None
    partition: int
    headers: tuple[tuple[str, bytes], ...] = ()


class Producer:
    """An AIOKafkaProducer that connects in the background, so that the process starts without Kafka."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def connect(self) -> None:
        """Tries with back-off until Kafka answers; afterwards the client keeps itself connected."""
        async for attempt in AsyncRetrying(wait=wait_exponential_jitter(0.2, 5.0)):
            with attempt:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._settings.require("KAFKA_BOOTSTRAP_SERVERS"),
                    acks="all",
                    enable_idempotence=self._settings.kafka_idempotence,
                    compression_type="snappy",  # of 36 impressions 4 µs each, where aiokafka's thorough lz4 takes 67
                    max_request_size=MAX_MESSAGE_BYTES,
                    max_batch_size=MAX_BATCH_BYTES,
                    request_timeout_ms=RETRY_FOR_MS,
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
                _log.info("producer connected")

    async def close(self) -> None:
        """Sends what is under way, for CLOSE_SECONDS at most: with Kafka down nobody waits for it any more."""
        if self._producer is not None:
            try:
                await asyncio.wait_for(self._producer.stop(), CLOSE_SECONDS)
            except TimeoutError:
                _log.warning("producer closed with messages that no broker took")

    async def send(self, records: Iterable[Record]) -> None:
        """Returns when the broker has acknowledged all. Raises ServiceUnavailable after DEADLINE_SECONDS, or earlier.

        Then some records may be in the log, or still get there: what is sent again must carry the same event ids.
        """
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await asyncio.gather(*[await self._enqueue(record) for record in records])
        except (KafkaError, TimeoutError, AssertionError) as error:
            # aiokafka asserts that the topic has the partition; one that hasn't is our set-up, not the client's fault.
            _log.warning("kafka did not acknowledge", error=repr(error))
            raise ServiceUnavailable(
                f"Kafka did not acknowledge within {DEADLINE_SECONDS} s; send this again in a moment."
            ) from error

    async def deliver(self, records: Sequence[Record]) -> int:
        """How many of the records the broker took, once each was acknowledged or given up: the client itself tries for
        RETRY_FOR_MS. For what nobody waits for. Raises ServiceUnavailable where there was no connection yet."""
        waiting: list[Acknowledged] = []
        try:
            for record in records:
                waiting += [await self._enqueue(record)]  # those before one that fails are waited for
        except (KafkaError, AssertionError) as error:
            _log.warning("kafka takes no more", error=repr(error))
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            _log.warning("kafka did not acknowledge", records=len(failures), error=repr(failures[0]))
        return len(outcomes) - len(failures)

    async def _enqueue(self, record: Record) -> Acknowledged:
        """The acknowledgement, once there is room among what waits."""
        if self._producer is None:
            raise ServiceUnavailable("Kafka is not reachable yet; send this again in a moment.")
        headers = [*record.headers] or None
        acknowledged: Acknowledged = await self._producer.send(
            record.topic, record.value, record.key, record.partition, headers=headers
        )
        return acknowledged

    async def ping(self) -> None:
        """Asks a broker for its metadata. Raises ServiceUnavailable."""
        if self._producer is None:
            raise ServiceUnavailable("not connected yet")
        try:
            async with asyncio.timeout(1.0):
                if not await self._producer.client.force_metadata_update():
                    raise ServiceUnavailable("no broker answers")
        except TimeoutError:
            raise ServiceUnavailable("no answer within 1 s") from None
