"""PostgreSQL, of which the API only wants to know whether it answers."""

import asyncio
import time

import asyncpg

from schemas.messages import PartHealth

TIMEOUT_SECONDS = 1.0
KEPT_SECONDS = 2.0
"""An answer is good for this long: a connection costs PostgreSQL a process."""


class PostgresPing:
    """Connects, asks, disconnects."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._asked_at = float("-inf")
        self._health = PartHealth(up=False, detail="not asked yet")
        self._lock = asyncio.Lock()

    async def health(self) -> PartHealth:
        """At most KEPT_SECONDS old."""
        async with self._lock:
            if time.monotonic() - self._asked_at > KEPT_SECONDS:
                self._health = await self._ask()
                self._asked_at = time.monotonic()
        return self._health

    async def _ask(self) -> PartHealth:
        if self._url is None:
            return PartHealth(up=False, detail="DATABASE_URL is not set")
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                connection = await asyncpg.connect(self._url)
                try:
                    await connection.execute("select 1")
                finally:
                    await connection.close()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return PartHealth(up=False, detail=f"does not answer: {str(error) or type(error).__name__}")
        return PartHealth(up=True, detail="answers")
