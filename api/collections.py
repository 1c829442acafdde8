"""Collections that this process runs, each in a task beside the requests."""

import asyncio
from typing import TYPE_CHECKING

import structlog

from schemas.messages import CollectionStarted, CollectionStatus
from schemas.settings import Settings

if TYPE_CHECKING:
    from collector.kinds import Kind

_log = structlog.get_logger()


class Collections:
    """One run a kind, over all processes: PostgreSQL keeps the locks (collector). What is cut off when this process
    ends goes on at its page with the next run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, kind: "Kind", page: int | None, page_size: int, actor: str) -> CollectionStarted:
        """Returns once the run has begun. actor: who asks (schemas.audit).

        Raises AlreadyRunning, SettingsError, ServiceUnavailable.
        """
        begun: asyncio.Future[CollectionStarted] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(kind, page, page_size, actor, begun))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await begun

    async def _run(
        self, kind: "Kind", page: int | None, page_size: int, actor: str, begun: "asyncio.Future[CollectionStarted]"
    ) -> None:
        # Only a process that collects loads the HTTP client.
        from collector.run import Run

        try:
            async with Run.begun(kind, self._settings, page, page_size, actor) as run:
                if not begun.done():  # whoever asked may be gone
                    begun.set_result(CollectionStarted(kind=kind.name, run_id=run.scan.run_id, page=run.scan.page + 1))
                ended = await run.finish()
            if ended.state == "succeeded":
                _log.info("collected", kind=kind.name, rows=ended.rows, published=ended.published, note=ended.note)
            else:
                _log.warning("collection failed", kind=kind.name, page=ended.page, error=ended.last_error)
        except Exception as error:
            if begun.done():
                _log.error("collection failed", kind=kind.name, exc_info=error)
            else:
                begun.set_exception(error)

    async def status(self) -> CollectionStatus:
        """Of every kind, whichever process runs it. Raises SettingsError, ServiceUnavailable."""
        from collector.store import Store

        async with Store.at(self._settings.require("DATABASE_URL")) as store:
            return CollectionStatus(kinds=await store.statuses())

    async def close(self) -> None:
        """Cuts runs off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
