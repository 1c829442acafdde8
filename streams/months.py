"""The months of the record's tables, kept while the workers run as `reelstream migrate` does."""

from datetime import UTC, datetime

import structlog

from schemas import partitions
from schemas.database import AWAY

from .services import RecordServices

MONTHS_SECONDS = 3_600.0
log = structlog.get_logger()


async def keep_months(services: RecordServices) -> None:
    """Makes those to come and drops old ones; what does not work is done an hour later, there are months of time."""
    try:
        async with services.pool.acquire() as connection:
            kept = await partitions.keep(connection, services.settings, datetime.now(UTC))
    except AWAY as error:
        log.warning("the months of the record are not kept, trying again", error=repr(error))
        return
    if kept.made or kept.dropped or kept.old:
        log.info("months of the record", made=kept.made, dropped=kept.dropped, old_rows=kept.old)
