"""The log as it is: every message of a topic from the first on, and what the events in it say."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.errors import ContractError
from schemas.events import TYPE_CODES, Interaction, decode_message
from schemas.topics import owner

from .system import PARTITIONS

Place = tuple[str, int, int, int]
"""Topic, partition, offset, and place in the array: what a dead letter names."""
DAY_SECONDS = 86_400.0


class Entry(NamedTuple):
    """An event at its place in the log. at: event time, seconds. forwarded_from: its header, empty for an original."""

    partition: int
    offset: int
    index: int
    event_id: str
    at: float
    event: Interaction
    forwarded_from: str

    @property
    def code(self) -> int:
        return TYPE_CODES[self.event.interaction_type]

    @property
    def value(self) -> float:
        return float(self.event.interaction_value or 0.0)

    @property
    def name(self) -> tuple[str, str]:
        return self.event.username, self.event_id

    @property
    def says(self) -> tuple[object, ...]:
        """What a forwarded copy has in common with its original."""
        event = self.event
        return self.event_id, self.at, event.username, event.post_id, event.interaction_type, event.interaction_value


async def read(brokers: str, topic: str) -> list[ConsumerRecord]:
    """All messages of a topic, partition by partition, each in the order of its offsets."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: dict[TopicPartition, list[ConsumerRecord]] = {tp: [] for tp in partitions}
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                found[tp] += records
        return [record for tp in partitions for record in found[tp]]
    finally:
        await consumer.stop()


async def ends(brokers: str, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """Where each partition ends now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers)
    await consumer.start()
    try:
        return dict(await consumer.end_offsets([TopicPartition(t, n) for t in topics for n in range(PARTITIONS)]))
    finally:
        await consumer.stop()


def entries(records: Iterable[ConsumerRecord], refused: set[Place]) -> Iterator[Entry]:
    """The events of `interactions` in order. The places of what breaks the contract are added to `refused`."""
    for record in records:
        place = f"{record.topic}-{record.partition}-{record.offset}"
        produced = record.timestamp / 1000
        header = dict(record.headers).get("forwarded-from", b"").decode()
        try:
            decoded = decode_message(record.value or b"")
        except ContractError:
            decoded = [ContractError("unreadable")]
        for index, event in enumerate(decoded):
            at = produced
            if isinstance(event, Interaction) and event.occurred_at is not None:
                at = event.occurred_at.timestamp()
            if isinstance(event, ContractError) or at > produced + DAY_SECONDS:
                refused.add((record.topic, record.partition, record.offset, index))
                continue
            unnamed = place if len(decoded) == 1 else f"{place}-{index}"
            yield Entry(record.partition, record.offset, index, event.event_id or unnamed, at, event, header)


def in_time(records: Iterable[ConsumerRecord]) -> list[ConsumerRecord]:
    """Each partition in its order, the partitions merged by time: what a worker that is not behind reads."""
    by_partition: dict[int, list[tuple[int, ConsumerRecord]]] = defaultdict(list)
    latest: dict[int, int] = defaultdict(int)
    for record in records:
        # A forwarded copy keeps the time of its original, which lies before that of its neighbours.
        latest[record.partition] = max(latest[record.partition], record.timestamp)
        by_partition[record.partition].append((latest[record.partition], record))
    merged = heapq.merge(*by_partition.values(), key=lambda pair: pair[0])
    return [record for _, record in merged]


def home(entry: Entry) -> bool:
    """Whether its partition owns its user; elsewhere it waits for its forwarded copy."""
    return owner(entry.event.username, PARTITIONS) == entry.partition


def wrong_copies(found: list[Entry]) -> list[str]:
    """Misplaced events that no copy brought home, and copies that say something else than their original."""
    at_home = {entry.name for entry in found if home(entry)}
    originals: dict[str, set[tuple[object, ...]]] = {}
    for entry in found:
        if not home(entry):
            originals.setdefault(f"interactions-{entry.partition}-{entry.offset}", set()).add(entry.says)
    wrong = [
        f"never forwarded: {entry.name} from interactions-{entry.partition}-{entry.offset}"
        for entry in found
        if not home(entry) and entry.name not in at_home
    ]
    wrong += [
        f"forwarded as something else: {entry.says} from {entry.forwarded_from}"
        for entry in found
        if entry.forwarded_from and entry.says not in originals.get(entry.forwarded_from, set())
    ]
    return wrong
