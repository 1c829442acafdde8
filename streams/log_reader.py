"""Reads a stretch of a log beside the consumer group: what is missing between the state and the next message.

The group's committed offset says what was once applied, the mark what the state holds now. They part when Redis or
PostgreSQL comes back older than it was (a fail-over to a replica, a restored backup) or is built anew.
"""

from collections.abc import AsyncIterator, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.settings import Settings

from .progress import Place
from .record import Record, kept_headers

MOST_RECORDS = 2_000
PEEK_MS = 1_000
log = structlog.get_logger()


class LogReader:
    """Each call has a consumer of its own, in no group: it disturbs nobody and commits nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def gap(self, place: Place, applied: int, before: int) -> AsyncIterator[list[Record]]:
        """What the log has after offset `applied` and before offset `before`, in order. Raises KafkaError."""
        if before <= applied + 1:
            return
        tp = TopicPartition(*place)
        consumer = await self._consumer()
        try:
            consumer.assign([tp])
            begin = (await consumer.beginning_offsets([tp]))[tp]
            if begin > applied + 1 > 0:
                log.error("the log no longer has messages that were not applied", topic=tp.topic,
                          partition=tp.partition, first=applied + 1, last=begin - 1)  # fmt: skip
            consumer.seek(tp, max(begin, applied + 1))
            count = 0
            while True:
                found = (await consumer.getmany(tp, timeout_ms=PEEK_MS, max_records=MOST_RECORDS)).get(tp, [])
                missing = [_record(each) for each in found if each.offset < before]
                if missing:
                    count += len(missing)
                    yield missing
                if len(missing) < len(found):
                    break
        finally:
            await consumer.stop()
        if count:
            log.warning("read again what the state did not have", topic=tp.topic, partition=tp.partition,
                        after=applied, before=before, messages=count)  # fmt: skip

    async def peek(self, places: Mapping[Place, int]) -> set[Place]:
        """Those of some partitions whose log has a message at or after the offset given. Raises KafkaError."""
        consumer = await self._consumer()
        found: set[Place] = set()
        try:
            consumer.assign([TopicPartition(*place) for place in places])
            for place, offset in places.items():
                consumer.seek(TopicPartition(*place), offset)
            while len(found) < len(places) and (fetched := await consumer.getmany(timeout_ms=PEEK_MS)):
                consumer.pause(*fetched)
                found |= {(tp.topic, tp.partition) for tp in fetched}
        finally:
            await consumer.stop()
        return found

    async def _consumer(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.require("KAFKA_BOOTSTRAP_SERVERS"),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=min(self._settings.kafka_fetch_max_wait_ms, PEEK_MS // 2),
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer


def _record(each: ConsumerRecord) -> Record:
    place = each.topic, each.partition, each.offset
    return Record(*place, each.timestamp / 1000, each.key, each.value, kept_headers(each.headers))
