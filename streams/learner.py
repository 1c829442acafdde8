"""The learner: the agent that teaches the global models, publishes what they learnt, and keeps snapshots.

Its topic has one partition, so there is one learner at a time. Nothing of it is exact: what is learnt twice after a
crash does no harm, and what it can't keep up with is sampled. So it resumes from a snapshot, at most a minute old, and
reads the log from there.
"""

import asyncio
import time

import structlog

from schemas.topics import LEARNING

from .batches import SERVICE_ERRORS, Conflict
from .learner_models import LearnerModels
from .producing import dead_letter, send_in_order
from .record import Record
from .services import ModelsServices

SNAPSHOT_SECONDS = 60.0
RECORD_SECONDS = 300.0
"""Between snapshots in Redis, and in PostgreSQL."""
LEAVE_SECONDS = 4.0
"""For the last snapshot: a member of the group that is silent for 6 s is taken for dead."""
log = structlog.get_logger()


class LearnerAgent:
    """Models that are loaded with the first message or publication, and forgotten when anything fails."""

    def __init__(self, services: ModelsServices) -> None:
        self._services = services
        self._models: LearnerModels | None = None
        self._loading, self._teaching = asyncio.Lock(), asyncio.Lock()
        self._snapshot_at = self._record_at = 0.0

    def forget(self, partition: int) -> None:
        self._models = None
        self._services.progress.metrics = {}

    async def apply(self, partition: int, records: list[Record]) -> None:
        """Teaches; before that, what the log has between the snapshot and these."""
        models = await self._loaded()
        async with self._teaching:
            await self._teach_until(models, records[0].offset)
            await self._teach(models, records)

    async def catch_up(self, committed: int) -> None:
        """Teaches what came after the snapshot and was read before; `committed`: what the group reads next."""
        try:
            models = await self._loaded()
            async with self._teaching:
                await self._teach_until(models, committed)
        except (*SERVICE_ERRORS, Conflict) as error:
            log.warning("what came after the snapshot is not learnt yet, trying again", error=repr(error))

    async def publish(self) -> None:
        """Every second: what changed, and a snapshot when it is time. A service that is away is waited for."""
        try:
            models = await self._loaded()
            await models.publish()
            self._services.progress.metrics = models.metrics
            if time.monotonic() >= self._snapshot_at:
                await self._snapshot(models, self._record_at)
        except Conflict as conflict:
            log.warning("another learner took over", reason=str(conflict))
            self.forget(0)
        except SERVICE_ERRORS as error:
            log.warning("what was learnt is not published, trying again", error=repr(error))
        except Exception:
            log.exception("what was learnt can't be published; all else goes on")

    async def leave(self) -> None:
        """The partition goes, or the worker: a last snapshot, as far as there is time."""
        models, self._models = self._models, None
        if models is None:
            return
        log.info("learner leaves", offset=models.applied)
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._snapshot(models, 0.0)
        except (*SERVICE_ERRORS, Conflict, TimeoutError) as error:
            log.warning("no last snapshot of the learner", error=repr(error))

    async def _snapshot(self, models: LearnerModels, record_at: float) -> None:
        now = time.monotonic()
        self._snapshot_at = now + SNAPSHOT_SECONDS
        recorded = now >= record_at
        if recorded:
            self._record_at = now + RECORD_SECONDS
        await models.save(recorded)

    async def _loaded(self) -> LearnerModels:
        async with self._loading:
            if self._models is None:
                self._models = await LearnerModels.load(self._services)
                self._snapshot_at = time.monotonic() + SNAPSHOT_SECONDS
            return self._models

    async def _teach_until(self, models: LearnerModels, before: int) -> None:
        async for missing in self._services.log_reader.gap((LEARNING, 0), models.applied, before):
            await self._teach(models, missing)

    async def _teach(self, models: LearnerModels, records: list[Record]) -> None:
        services = self._services
        refused = await models.learn(records)
        services.progress.counters["dead_letters"] += len(refused)
        await send_in_order(services.producer, [dead_letter(record, 0, error) for record, error in refused])
        services.progress.done(records)
