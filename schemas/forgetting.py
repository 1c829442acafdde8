"""Forgetting a user: what is sent to the topics, and what leaves PostgreSQL at once.

A null value on `users` takes the profile away. A null value on `interactions` with the header FORGET takes away the
state that stage 1 keeps, and the rows of the record that lie before it, each by its one writer and at one place in the
log: so a user who comes back begins anew, and a rebuild knows nothing of before. Without the header a null value there
is a dead letter: nobody is to vanish by mistake.
"""

from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from . import topics
from .topics import owner

FORGET = "forget"
"""Header of a null value on `interactions`. Its value is not read."""
FORGOTTEN_ROLE = "forgotten"
"""Role of a number whose name was forgotten, so that collecting doesn't bring the user back."""
_STATEMENTS = (
    "DELETE FROM impressions WHERE username = $1",
    "DELETE FROM interactions WHERE username = $1",
    "DELETE FROM users WHERE username = $1",
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


async def forget_in_record(database_url: str, username: str) -> None:
    """Deletes what PostgreSQL has of a user by now; what is still on its way goes by the tombstones.

    Raises what asyncpg raises.
    """
    connection = await asyncpg.connect(database_url, timeout=5, command_timeout=120)
    try:
        async with connection.transaction():
            for statement in _STATEMENTS:
                await connection.execute(statement, username)
        await connection.close()
    finally:
        connection.terminate()
