"""Reads the newest messages of a topic, without a consumer group: nothing is committed, nobody is disturbed."""

from collections.abc import AsyncIterator, Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import ServiceUnavailable
from schemas.settings import Settings


async def newest(
    settings: Settings, topic: str, partitions: Iterable[int], count: int, *, follow: bool = False
) -> AsyncIterator[list[ConsumerRecord]]:
    """Batches with the last `count` offsets of each partition, and with `follow` whatever comes after, for ever.

    Raises ServiceUnavailable when no broker answers.
    """
    bootstrap_servers = settings.require("KAFKA_BOOTSTRAP_SERVERS")
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
        assigned = [TopicPartition(topic, partition) for partition in partitions]
        consumer.assign(assigned)
        begins, ends = await consumer.beginning_offsets(assigned), await consumer.end_offsets(assigned)
        for tp in assigned:
            consumer.seek(tp, max(begins[tp], ends[tp] - count))
        unread = {tp for tp in assigned if ends[tp] > begins[tp]}
        while follow or unread:
            batches = await consumer.getmany(timeout_ms=1000)
            if not batches and not follow:
                break  # the last offsets may hold no message: markers of transactions, compacted away
            yield [record for batch in batches.values() for record in batch]
            unread = {tp for tp in unread if await consumer.position(tp) < ends[tp]}
    except (KafkaError, OSError) as error:
        raise ServiceUnavailable(f"Kafka at {bootstrap_servers} does not answer: {error}") from error
    finally:
        await consumer.stop()
