"""Forgets a user: the record first, then the tombstones that the workers read."""

from schemas import audit
from schemas.forgetting import forget_in_record, tombstones
from schemas.settings import Settings
from schemas.users import deleted_user

from .replay import sending


async def forget(settings: Settings, username: str) -> None:
    """Raises ServiceUnavailable; doing it again is harmless. Raises ReelstreamError for what can't be a name."""
    deleted_user(username.encode())
    await forget_in_record(settings, username, audit.operator())
    async with sending(settings) as sender:
        for each in tombstones(username, settings.kafka_partitions):
            await sender.delete(each.topic, username, each.headers)
