"""Publishing: a version's vectors and graph into Redis, then the pointer that makes it serve, then the announcement."""

from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from schemas import audit, keys, topics
from schemas.errors import ReelstreamError
from schemas.models import ModelVersion, decode_version, encode_version
from schemas.settings import Settings

from . import registry

SUPERSEDED_TTL_SECONDS = 3_600
"""A reader that still holds the version before may read its chunks for an hour after it was replaced."""


async def publish(settings: Settings, version: ModelVersion, chunks: list[bytes]) -> None:
    """Makes `version` the one that serves. Readers see either all of it or the one before.

    Raises SettingsError without an address, and what Redis and Kafka clients raise when they can't be reached.
    """
    async with Redis.from_url(settings.require("REDIS_URL"), socket_timeout=10, socket_connect_timeout=5) as redis:
        before = await redis.get(keys.model_current(version.model))
        for number, chunk in enumerate(chunks):
            await redis.set(keys.model_chunk(version.model, version.version, number), chunk)
        await redis.set(keys.model_current(version.model), encode_version(version))
        if before is not None and (superseded := decode_version(before)).version != version.version:
            await _expire(redis, superseded)
    registry.set_serving(settings.model_path, version.model, version.version)
    await _announce(settings, version)


async def rollback(settings: Settings, model: str, version: str | None) -> tuple[ModelVersion, str | None]:
    """Publishes a saved version of the model: the one named, or the newest sound one before that which serves.

    Returns it and the version that served. Raises ReelstreamError when there is none or it is damaged; then what serves
    stays. Otherwise as `publish`.
    """
    before = registry.serving(settings.model_path, model)
    if version is None:
        saved = registry.newest(settings.model_path, model, before=before)
        if saved is None:
            raise ReelstreamError(f"{model} has no version before {before or 'the newest'}: nothing to roll back to.")
    else:
        saved = registry.load(settings.model_path, model, version)
    await publish(settings, *saved)
    outcome = f"from {before or 'unknown'} to {saved[0].version}"
    await audit.note(settings, audit.operator(), "rollback", model, outcome)
    return saved[0], before


async def restore(settings: Settings, model: str) -> bool:
    """Publishes what served again when Redis has none, as after it was emptied; True when it did.

    A damaged version is passed over for the sound one before it. Raises ReelstreamError when all are damaged, and what
    Redis and Kafka clients raise.
    """
    async with Redis.from_url(settings.require("REDIS_URL"), socket_timeout=10, socket_connect_timeout=5) as redis:
        if await redis.exists(keys.model_current(model)):
            return False
    saved = registry.newest(settings.model_path, model, upto=registry.serving(settings.model_path, model))
    if saved is None:
        return False
    await publish(settings, *saved)
    return True


async def _expire(redis: Redis, superseded: ModelVersion) -> None:
    """Bounds what Redis keeps, also when the registry's folder was lost in between."""
    for number in range(superseded.chunks + superseded.graph_chunks):
        key = keys.model_chunk(superseded.model, superseded.version, number)
        await redis.expire(key, SUPERSEDED_TTL_SECONDS)


async def _announce(settings: Settings, version: ModelVersion) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.require("KAFKA_BOOTSTRAP_SERVERS"),
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
    )
    try:
        await producer.start()
        await producer.send_and_wait(topics.MODELS, encode_version(version), key=version.model.encode())
    finally:
        await producer.stop()
