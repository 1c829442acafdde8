"""Training on request: a message on the topic `models`, from whoever may write there."""

import asyncio
import time
from collections.abc import Collection

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.models import TrainingRequest
from schemas.settings import Settings

GROUP = "reelstream-train"
"""What it committed tells which requests are done: one that is made during a training waits for its end."""

log = structlog.get_logger()
_request = msgspec.json.Decoder(TrainingRequest)


async def wait(settings: Settings, models: Collection[str], seconds: float) -> list[str]:
    """The models of `models` that are asked for, in the order of the requests, as soon as there are any; none after
    `seconds`. Without Kafka it waits all the same."""
    until = time.monotonic() + seconds
    consumer = AIOKafkaConsumer(
        topics.MODELS, bootstrap_servers=settings.require("KAFKA_BOOTSTRAP_SERVERS"), group_id=GROUP,
        auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
    )  # fmt: skip
    try:
        await consumer.start()
        while (left := until - time.monotonic()) > 0:
            found = await consumer.getmany(timeout_ms=max(int(left * 1000), 1))
            if not found:
                continue
            values = [message.value for messages in found.values() for message in messages]
            await consumer.commit()
            if asked := [*dict.fromkeys(name for value in values if (name := _asked(value, models)))]:
                return asked
    except KafkaError as error:
        log.warning("no training on request while Kafka does not answer", error=repr(error))
        await asyncio.sleep(max(until - time.monotonic(), 0.0))
    finally:
        await consumer.stop()
    return []


def _asked(value: bytes | None, models: Collection[str]) -> str | None:
    """None for what is no request: announcements lie on the same topic."""
    try:
        name = _request.decode(value or b"").train
    except msgspec.MsgspecError:
        return None
    if name in models:
        return name
    log.warning("a training was asked for of a model that is not trained here", train=name, here=", ".join(models))
    return None
