"""Ways into PostgreSQL: one connection, or a pool as the settings say; a sentence when it does not answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from .errors import ReelstreamError, ServiceUnavailable
from .settings import Settings

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What asyncpg raises when PostgreSQL can't be reached or refuses; a TimeoutError is an OSError."""
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 120.0
"""Of what an operator asks for, such as forgetting somebody. Workers: DATABASE_TIMEOUT_SECONDS."""


@asynccontextmanager
async def connected(url: str, command_seconds: float | None = COMMAND_SECONDS) -> AsyncIterator[asyncpg.Connection]:
    """A connection that is gone afterwards, with its locks. command_seconds: the longest statement; None: no limit.

    Raises ServiceUnavailable when PostgreSQL does not answer; inside, whatever asyncpg raises.
    """
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS, command_timeout=command_seconds)
    except AWAY as error:
        raise unavailable(error) from error
    try:
        yield connection
    finally:
        connection.terminate()


def unavailable(error: BaseException) -> ReelstreamError:
    """The sentence about an exception of AWAY."""
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return ReelstreamError("The database is older than this program: run `reelstream migrate`.")
    return ServiceUnavailable(f"PostgreSQL (DATABASE_URL) does not answer: {error or type(error).__name__}")


async def create_pool(settings: Settings, **planner: str) -> asyncpg.Pool:
    """planner: settings of PostgreSQL for its connections.

    min_size=0: connects when first used, so that a PostgreSQL that is down is waited for like any other. The server
    ends a statement by itself a second after the client would have: one whose client died does not go on.
    """
    seconds = settings.database_timeout_seconds
    server: dict[str, Any] = {"statement_timeout": str(round(seconds * 1000) + 1000), "jit": "off", **planner}
    return await asyncpg.create_pool(
        settings.require("DATABASE_URL"), min_size=0, max_size=settings.database_pool_size, command_timeout=seconds,
        timeout=CONNECT_SECONDS, server_settings=server,
    )  # fmt: skip
