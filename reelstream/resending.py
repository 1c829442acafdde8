"""Sends dead letters back to their topics, once what refused them is mended.

An event counts once however often it is resent: one that came without an id gets the id that its first place in the
log would have given it, and one without a time keeps the time when its message was first produced.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import audit, decoding, users
from schemas.dead_letters import MOST_BYTES
from schemas.errors import ContractError, ServiceUnavailable
from schemas.events import Interaction, decode_interaction, decode_message, event_id_at, event_time
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.topics import INTERACTIONS, POSTS, USERS, owner
from schemas.users import decode_user

from .dead_letters import Found


@dataclass(frozen=True)
class Message:
    """What is sent: to the partition that owns the key."""

    topic: str
    key: str
    value: bytes


@dataclass
class Plan:
    """What a resend does. refused: name of a letter and why it, or an entry of it, still can't be sent."""

    messages: list[Message] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    @property
    def counts(self) -> str:
        """`3 to interactions, 1 to posts`"""
        counted = Counter(message.topic for message in self.messages)
        return ", ".join(f"{count} to {topic}" for topic, count in sorted(counted.items())) or "nothing"


def plan(letters: list[Found]) -> Plan:
    """Reads each letter by the contract as it is now."""
    made = Plan()
    for found in letters:
        try:
            for row in _rows(found, time.time()):
                if isinstance(row, ContractError):
                    made.refused.append((found.letter.name, str(row)))
                else:
                    made.messages.append(row)
        except ContractError as error:
            made.refused.append((found.letter.name, str(error)))
    return made


async def send(settings: Settings, messages: list[Message]) -> None:
    """Returns when the broker has all of them. Raises ServiceUnavailable."""
    servers = settings.require("KAFKA_BOOTSTRAP_SERVERS")
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=settings.kafka_idempotence)
    try:
        await producer.start()
        waiting = [
            await producer.send(
                message.topic, message.value, key=message.key.encode(),
                partition=owner(message.key, settings.kafka_partitions),
            )
            for message in messages
        ]  # fmt: skip
        for acknowledged in waiting:
            await acknowledged
        await audit.note(settings, audit.operator(), "resend", "dead letters", Plan(messages).counts)
    except (KafkaError, OSError) as error:
        raise ServiceUnavailable(
            f"Kafka at {servers} does not answer: {error}. Resend the same letters: what arrived counts once."
        ) from error
    finally:
        await producer.stop()


def _rows(found: Found, now: float) -> list[Message | ContractError]:
    """The messages of a letter, or why an entry of its array is still refused. Raises ContractError for all of it."""
    letter = found.letter
    if letter.topic not in (INTERACTIONS, POSTS, USERS):
        raise ContractError(f"{letter.topic} is written by reelstream alone: nothing is ever resent to it")
    if letter.deletion:
        raise ContractError("a deletion has nothing but its key: send it anew, a null value under the right key")
    if letter.cut:
        raise ContractError(
            f"only {MOST_BYTES} of its {letter.size} bytes are kept: the original is at offset {letter.offset} of "
            f"partition {letter.partition} of {letter.topic}, for as long as Kafka keeps it"
        )
    if letter.topic == INTERACTIONS:
        return _events(found, now)
    make = _post if letter.topic == POSTS else _user
    return [make(letter.source)] if letter.of_array else decoding.one_or_many(letter.source, make)


def _events(found: Found, now: float) -> list[Message | ContractError]:
    letter = found.letter
    source = letter.source
    # Letters of earlier versions don't say that they are one entry of an array; from the second on, the index does.
    entry = letter.of_array or (letter.index > 0 and source.lstrip()[:1] != b"[")
    events = [decode_interaction(source)] if entry else decode_message(source)
    single = len(events) == 1 and not entry
    made: list[Message | ContractError] = []
    for index, event in enumerate(events):
        try:
            if isinstance(event, ContractError):
                raise event
            event_id = event_id_at(
                letter.topic, letter.partition, letter.offset, None if single else letter.index if entry else index
            )
            made.append(_event(event, event_id, letter.produced_at or found.at.timestamp(), now))
        except ContractError as error:
            made.append(error)
    return made


def _event(event: Interaction, event_id: str, produced_at: float, now: float) -> Message:
    if event.occurred_at is None:
        event.occurred_at = datetime.fromtimestamp(event_time(event, produced_at), UTC)
    event_time(event, now)
    event.event_id = event.event_id or event_id
    return Message(INTERACTIONS, event.username, msgspec.json.encode(event))


def _post(row: bytes | msgspec.Raw) -> Message:
    return Message(POSTS, str(decode_post(row).id), bytes(row))


def _user(row: bytes | msgspec.Raw) -> Message:
    user = decode_user(row)
    return Message(USERS, user.username, users.encode(user))
