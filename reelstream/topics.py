"""Creates the topics of schemas.topics, or says what is wrong with those that exist."""

import asyncio
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.errors import ReelstreamError, ServiceUnavailable
from schemas.settings import Settings
from schemas.topics import TOPICS, Topic

_SET_ON_THE_TOPIC = 1
"""Kafka's DYNAMIC_TOPIC_CONFIG: a setting somebody gave this topic, not a default."""


async def create_topics(settings: Settings) -> list[str]:
    """Creates what is missing and gives the others their settings; returns the names created. Repeating is harmless.

    Raises ServiceUnavailable when no broker answers, ReelstreamError for a topic with another number of partitions:
    keys would move between partitions, and with them state would get a second writer.
    """
    bootstrap_servers = settings.require("KAFKA_BOOTSTRAP_SERVERS")
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        known = [topic for topic in TOPICS if topic.name in existing]
        await _check_partitions(admin, settings, known)
        await _update(admin, known)
        missing = [topic for topic in TOPICS if topic.name not in existing]
        return await _create(admin, settings, missing)
    except (KafkaError, OSError) as error:
        raise ServiceUnavailable(f"Kafka at {bootstrap_servers} could not create the topics: {error}") from error
    finally:
        await admin.close()


async def _check_partitions(admin: AIOKafkaAdminClient, settings: Settings, known: list[Topic]) -> None:
    if not known:
        return
    wanted = {topic.name: topic.partitions or settings.kafka_partitions for topic in known}
    for row in await admin.describe_topics(sorted(wanted)):
        name, found = row["topic"], len(row["partitions"])
        if found != wanted[name]:
            raise ReelstreamError(
                f"Topic {name} has {found} partitions and {wanted[name]} are wanted: set KAFKA_PARTITIONS={found}, "
                "or delete the topic and run `reelstream topics` again."
            )


async def _update(admin: AIOKafkaAdminClient, known: list[Topic]) -> None:
    """Changes settings that differ. Kafka replaces a topic's settings as a whole, so those of others go along."""
    if not known:
        return
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in known]
    found: dict[str, Any] = {
        name: entries
        for answer in await admin.describe_configs(resources)
        for _, _, _, name, entries in answer.resources
    }
    for topic in known:
        values = {name: value for name, value, *_ in found[topic.name]}
        if topic.config.items() <= values.items():
            continue
        own = {name: value for name, value, _, source, *_ in found[topic.name] if source == _SET_ON_THE_TOPIC}
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic.name, configs={**own, **topic.config})]
        )


async def _create(admin: AIOKafkaAdminClient, settings: Settings, missing: list[Topic]) -> list[str]:
    if not missing:
        return []
    created = []
    answer = await admin.create_topics(
        [
            NewTopic(
                topic.name, topic.partitions or settings.kafka_partitions, settings.kafka_replication,
                topic_configs=topic.config,
            )
            for topic in missing
        ]
    )  # fmt: skip
    for name, code, *message in answer.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            continue  # another `reelstream topics` was faster
        if code:
            raise ReelstreamError(f"Kafka refused to create topic {name}: {' '.join(filter(None, message)) or code}")
        created.append(name)
    async with asyncio.timeout(10):
        # The controller answers before the brokers know: 0.3 s on a busy machine, in which a worker finds no topic.
        while not {topic.name for topic in missing} <= set(await admin.list_topics()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return created
