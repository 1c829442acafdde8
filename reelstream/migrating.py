"""What `reelstream migrate` does: revisions, then months."""

from datetime import UTC, datetime

import asyncpg

from schemas import audit, partitions
from schemas.database import AWAY, connected, unavailable
from schemas.errors import ServiceUnavailable
from schemas.migrate import migrate as to_newest
from schemas.partitions import Kept
from schemas.settings import Settings


async def migrate(settings: Settings) -> Kept:
    """Raises ServiceUnavailable; doing it again is harmless."""
    url = settings.require("DATABASE_URL")
    await to_newest(url)
    async with connected(url, None) as connection:
        try:
            kept = await partitions.keep(connection, settings, datetime.now(UTC))
        except asyncpg.LockNotAvailableError:
            raise ServiceUnavailable(
                "The tables are at their newest shape, but one is in use (by a rebuild?), so its months are as before. "
                "Run `reelstream migrate` again later; the record worker tries every hour too."
            ) from None
        except AWAY as error:
            raise unavailable(error) from error
        await audit.write(connection, audit.operator(), "migrate", "database", _told(kept))
    return kept


def _told(kept: Kept) -> str:
    return f"made {len(kept.made)} months, dropped {len(kept.dropped)}"
