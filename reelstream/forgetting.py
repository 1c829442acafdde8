"""Forgets a user: the record first, then the tombstones that the workers read."""

import asyncpg

from schemas.errors import ReelstreamError, ServiceUnavailable
from schemas.forgetting import forget_in_record, tombstones
from schemas.settings import Settings
from schemas.users import deleted_user

from .replay import sending


async def forget(settings: Settings, username: str) -> None:
    """Raises ServiceUnavailable; doing it again is harmless. Raises ReelstreamError for what can't be a name."""
    deleted_user(username.encode())
    url = settings.require("DATABASE_URL")
    try:
        await forget_in_record(url, username)
    except asyncpg.UndefinedTableError:
        raise ReelstreamError("The database is older than this program: run `reelstream migrate`.") from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ServiceUnavailable(f"PostgreSQL (DATABASE_URL) does not answer: {error}") from error
    async with sending(settings) as sender:
        for each in tombstones(username, settings.kafka_partitions):
            await sender.delete(each.topic, username, each.headers)
