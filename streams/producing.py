"""What agents send: signals, forwarded events, dead letters. Every send is acknowledged before the agent goes on."""

import asyncio
import time
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from schemas import dead_letters, topics
from schemas.dead_letters import DeadLetter
from schemas.errors import ContractError
from schemas.events import LATEST
from schemas.settings import Settings

from .record import Record

OLDEST_SIGNAL_SECONDS = 3_600.0


class Outgoing(NamedTuple):
    """A message to send. partition None: by key."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    at: float = 0.0
    headers: tuple[tuple[str, bytes], ...] = ()


def signals_at(produced_at: float) -> float:
    """The time of item signals: that of the message they come from, by which freshness is told.

    No older than an hour: brokers delete by it (a day), and messages that a stranger dates back, or that are read after
    days, would take signals with them that nobody has applied.
    """
    return max(produced_at, time.time() - OLDEST_SIGNAL_SECONDS) if produced_at > 0 else 0.0


def forwarded_from(record: Record) -> tuple[tuple[str, bytes], ...]:
    """Headers of what is sent on to the partition that owns it: its own, and where it was read before."""
    return (
        *record.headers,
        ("forwarded-from", f"{record.topic}-{record.partition}-{record.offset}".encode()),
    )


def create_producer(settings: Settings) -> AIOKafkaProducer:
    """acks=all; aiokafka has one request in flight a partition, which keeps the order without idempotence too."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.require("KAFKA_BOOTSTRAP_SERVERS"),
        client_id="reelstream-worker",
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
        compression_type="snappy",  # aiokafka's lz4 is the thorough kind: 4.3 µs a KB against 0.9
        max_request_size=4 * 1024 * 1024,
        request_timeout_ms=10_000,
    )


async def send_in_order(producer: AIOKafkaProducer, messages: Iterable[Outgoing]) -> None:
    """Sends all, keeping the order within a destination partition, and returns when all are acknowledged.

    Those without a partition are dead letters: they have no order, and come by the thousand. Any other message is sent
    only after the one before it to the same partition was acknowledged: were a later one to arrive where an earlier one
    failed, stage 2 would take the earlier one's repetition for applied.
    """
    queues: dict[object, list[Outgoing]] = {}
    for number, message in enumerate(messages):
        together = number if message.partition is None else (message.topic, message.partition)
        queues.setdefault(together, []).append(message)
    await asyncio.gather(*(_send_queue(producer, queue) for queue in queues.values()))


async def _send_queue(producer: AIOKafkaProducer, queue: list[Outgoing]) -> None:
    for message in queue:
        await producer.send_and_wait(
            message.topic,
            message.value,
            key=message.key,
            partition=message.partition,
            # A stranger's message may carry any 64 bits as its time; the largest doesn't survive being a float.
            timestamp_ms=int(message.at * 1000) if 0 < message.at < LATEST else None,
            headers=list(message.headers),
        )


def dead_letter(record: Record, index: int, error: ContractError) -> Outgoing:
    """The dead letter of a message, or of entry `index` of its array."""
    deletion = record.value is None
    letter = DeadLetter.of(
        error.payload or ((record.key if deletion else record.value) or b""),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        index=index,
        reason=str(error),
        field=error.field,
        of_array=error.payload != b"",
        deletion=deletion,
        produced_at=max(record.at, 0.0),
    )
    key, value = record.topic.encode(), dead_letters.encode(letter)
    return Outgoing(topics.DEAD_LETTERS, None, key, value, headers=record.headers)
