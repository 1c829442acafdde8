"""Notices when the state in Redis is gone, as a whole or in part, and has it rebuilt."""

from typing import Any

import structlog

from schemas import generation, keys, marks

from .batches import SERVICE_ERRORS, Conflict
from .generations import NoState, mark_of
from .rebuild import Rebuild
from .services import LearnServices

INTERVAL_SECONDS = 1.0
log = structlog.get_logger()


class StateKeeper:
    """Every worker that learns has one; the lock of the rebuild lets one at a time begin."""

    def __init__(self, services: LearnServices) -> None:
        self._services = services

    async def check(self) -> None:
        """Rebuilds what has to be rebuilt; a service that does not answer is waited for until the next check."""
        try:
            reason = await self._missing()
            if reason is not None:
                services = self._services
                await Rebuild(services.redis, services.pool, services.settings, lambda _: None).run(reason)
        except (*SERVICE_ERRORS, Conflict) as error:
            log.warning("state not checked or not rebuilt, trying again", error=repr(error))

    async def _missing(self) -> str | None:
        """Why a rebuild is needed; None when the state is whole."""
        redis = self._services.redis
        stored: Any = await redis.get(keys.GENERATION)
        found = generation.decode(stored)
        if found is None:
            return "Redis has no state"
        if not found.ready:
            return f"a rebuild was left unfinished; it began because: {found.reason}"
        # One GET each: on a Cluster they lie in different slots.
        for key, kind in marks.all_keys(self._services.partitions).items():
            try:
                await mark_of(redis, found, key, kind)
            except NoState as lost:
                return str(lost)
        return None
