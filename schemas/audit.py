"""The audit log: who changed what from outside. Table `audit_log`, a row an act; no tokens, no keys, no e-mail.

| action | subject | by |
|---|---|---|
| collect | kind | `POST /collect/KIND`, `reelstream collect`: when a run begins |
| forget | `hash:` and the hash of the name | `DELETE /users/NAME`, `reelstream forget` |
| delete-post | id | `DELETE /posts/ID` |
| rollback | model | `reelstream models rollback` |
| rebuild | state | `reelstream rebuild` |
| resend | dead letters | `reelstream dead-letters resend` |
| import | file | `reelstream import` |
| migrate | database | `reelstream migrate` |
"""

import asyncio
import getpass
import os

import asyncpg
import structlog

from .database import AWAY, connected
from .errors import ReelstreamError
from .settings import Settings

_INSERT = "INSERT INTO audit_log (actor, action, subject, outcome) VALUES ($1, $2, $3, $4)"
MOST_CHARACTERS = 500
NOTE_SECONDS = 3.0
"""Whoever asked waits meanwhile."""
log = structlog.get_logger()


def operator() -> str:
    """Who runs a command: the user of the operating system."""
    try:
        return f"command of {getpass.getuser()}"
    except (KeyError, OSError):  # a container's number without a name
        return f"command of user {os.getuid()}"


def caller(host: str | None) -> str:
    """Who called the API; all that is known of that is the address."""
    return f"HTTP from {host or 'unknown'}"


async def write(connection: asyncpg.Connection, actor: str, action: str, subject: str, outcome: str = "done") -> None:
    """In the transaction of the act, where there is one. Raises what asyncpg raises."""
    await connection.execute(_INSERT, *(each[:MOST_CHARACTERS] for each in (actor, action, subject, outcome)))


async def note(settings: Settings, actor: str, action: str, subject: str, outcome: str = "done") -> None:
    """Of an act that needs no PostgreSQL: it is not undone when that is away, so the process's log has it then."""
    if settings.database_url is not None:
        try:
            async with asyncio.timeout(NOTE_SECONDS), connected(settings.database_url) as connection:
                await write(connection, actor, action, subject, outcome)
        except (ReelstreamError, *AWAY) as error:
            log.warning("not in the audit log", actor=actor, action=action, subject=subject, error=str(error))
