"""Forgetting a user: what is sent to the topics, and what leaves PostgreSQL at once.

A null value on `users` takes the profile away. A null value on `interactions` with the header FORGET takes away the
state that stage 1 keeps, and the rows of the record that lie before it, each by its one writer and at one place in the
log: so a user who comes back begins anew, and a rebuild knows nothing of before. Without the header a null value there
is a dead letter: nobody is to vanish by mistake.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

import asyncpg

from . import audit, topics
from .database import AWAY, connected, unavailable
from .settings import Settings
from .topics import owner

FORGET = "forget"
"""Header of a null value on `interactions`. Its value is not read."""
FORGOTTEN_ROLE = "forgotten"
"""Role of a number whose name was forgotten, so that collecting doesn't bring the user back."""
_EVENTS = "DELETE FROM interactions WHERE log_partition = $1 AND username = $2"
_IDS = "DELETE FROM event_ids WHERE username = $1"
_STATEMENTS = (
    "DELETE FROM impressions WHERE username = $1",
    "DELETE FROM users WHERE username = $1",
    "INSERT INTO forgotten_users (name_hash) VALUES (sha256(convert_to($1, 'UTF8'))) "
    "ON CONFLICT (name_hash) DO UPDATE SET forgotten_at = now()",
    "UPDATE collected_interactions SET username = NULL, events = 0 WHERE username = $1",
    f"UPDATE collected_users SET username = '', role = '{FORGOTTEN_ROLE}', digest = '' WHERE username = $1",  # noqa: S608
)


class Tombstone(NamedTuple):
    """A message without a value."""

    topic: str
    partition: int
    key: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def tombstones(username: str, partitions: int) -> list[Tombstone]:
    """What has to be sent."""
    place = owner(username, partitions), username.encode()
    return [Tombstone(topics.USERS, *place), Tombstone(topics.INTERACTIONS, *place, ((FORGET, b"1"),))]


def forgets(headers: Iterable[tuple[str, bytes]]) -> bool:
    """Whether a message without a value forgets the user that its key names."""
    return any(name == FORGET for name, _ in headers)


async def forget_in_record(settings: Settings, username: str, actor: str) -> None:
    """Deletes what PostgreSQL has of a user by now; what is still on its way goes by the tombstones.

    actor: as in schemas.audit. Raises ServiceUnavailable, ReelstreamError.
    """
    async with connected(settings.require("DATABASE_URL")) as connection:
        try:
            async with connection.transaction():
                await forget_events(connection, username, owner(username, settings.kafka_partitions))
                for statement in _STATEMENTS:
                    await connection.execute(statement, username)
                await audit.write(connection, actor, "forget", f"hash:{name_hash(username).hex()}")
        except AWAY as error:
            raise unavailable(error) from error


async def forget_events(connection: asyncpg.Connection, username: str, partition: int) -> None:
    """Deletes a user's rows of `interactions`, all of which came from `partition`. Raises what asyncpg raises."""
    await connection.execute(_EVENTS, partition, username)
    await connection.execute(_IDS, username)


def name_hash(username: str) -> bytes:
    """How the name of a forgotten user is kept: SHA-256. Who has a list of names can find those that are in it."""
    return sha256(username.encode()).digest()
