"""The consumer groups, and what they have committed."""

from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.settings import Settings

LEARN_GROUP = "reelstream-learn"
MODELS_GROUP = "reelstream-models"
RECORD_GROUP = "reelstream-record"


async def committed(settings: Settings, group: str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
    """(topic, partition) → the offset that the group reads next; 0 where it never committed. Raises KafkaError."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.require("KAFKA_BOOTSTRAP_SERVERS"), group_id=group, enable_auto_commit=False
    )
    try:
        await consumer.start()
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(settings.kafka_partitions)]
        consumer.assign(partitions)
        return {(tp.topic, tp.partition): await consumer.committed(tp) or 0 for tp in partitions}
    finally:
        await consumer.stop()
