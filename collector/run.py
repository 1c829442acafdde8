"""One run of one kind: from the page where the last one ended early, or from the first, to the end."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog

from schemas.database import AWAY, unavailable
from schemas.errors import ReelstreamError
from schemas.messages import KindStatus
from schemas.settings import Settings

from .kinds import KINDS, Kind
from .pages import Pages, move_names
from .publishing import Publisher
from .store import Scan, Store
from .upstream import Upstream, UpstreamError, credentials

MOST_PAGE_SIZE = 1_000
CHUNK = 1_000
GOES_ON = timedelta(days=1)
"""A scan that ended longer ago begins anew: what it met may have vanished since."""
LEAST_VANISHED = 1
"""One row may always vanish, however few there are."""
log = structlog.get_logger()


class AlreadyRunning(ReelstreamError):
    """The kind is being collected; `run_id` is that run."""

    def __init__(self, kind: Kind, run_id: str) -> None:
        super().__init__(f"{kind.name} is being collected by run {run_id}: wait for its end, or look at its status.")
        self.run_id = run_id


class Run:
    """A run that holds its kind's lock. expected_rows: as many as the last whole scan met; None when there was none."""

    def __init__(self, kind: Kind, settings: Settings, store: Store, scan: Scan, expected_rows: int | None) -> None:
        self.kind, self.scan, self.expected_rows = kind, scan, expected_rows
        self._settings, self._store = settings, store

    @classmethod
    @asynccontextmanager
    async def begun(
        cls, kind: Kind, settings: Settings, page: int | None, page_size: int, actor: str
    ) -> AsyncIterator["Run"]:  # fmt: skip
        """Takes the lock. page: where to begin; None goes on where the last run ended early, or begins at the first.

        actor: who starts it (schemas.audit).

        Raises AlreadyRunning, SettingsError, ServiceUnavailable.
        """
        credentials(kind, settings)
        settings.require("KAFKA_BOOTSTRAP_SERVERS")
        async with Store.at(settings.require("DATABASE_URL")) as store:
            try:
                locked = await store.lock(kind)
                last = await store.last(kind)
                if not locked:
                    raise AlreadyRunning(kind, last.run_id if last else "that begins")
                scan = _scan(last, page, page_size, datetime.now(UTC))
                await store.save(kind, scan)
                await store.audit(actor, kind, scan)
            except AWAY as error:
                raise unavailable(error) from error
            ended = last is not None and last.whole and last is not scan
            yield cls(kind, settings, store, scan, last.status.rows if last and ended else None)

    async def finish(self, tell: Callable[[KindStatus], None] = lambda status: None) -> KindStatus:
        """Collects to the end, and says how it ended; `tell` hears of each page. Raises nothing but what cancels it."""
        status = self.scan.status
        try:
            async with AsyncExitStack() as stack:
                upstream = await stack.enter_async_context(Upstream.of(self._settings))
                publisher = await stack.enter_async_context(Publisher.of(self._settings))
                await self._collect(upstream, publisher, tell)
            status.state, status.last_success, status.last_error = "succeeded", datetime.now(UTC), None
        except (ReelstreamError, *AWAY) as error:
            status.state, status.last_error = "failed", str(error)
        except Exception as error:
            status.state, status.last_error = "failed", "something went wrong here; the log has it"
            log.error("collection failed", kind=self.kind.name, page=status.page, exc_info=error)
        try:
            await self._store.save(self.kind, self.scan)
        except AWAY as error:
            log.warning("the end of a collection is not noted", kind=self.kind.name, error=str(error))
        return status

    async def _collect(
        self, upstream: Upstream, publisher: Publisher, tell: Callable[[KindStatus], None]
    ) -> None:  # fmt: skip
        kind, store, scan = self.kind, self._store, self.scan
        pages = Pages(kind, self._settings, store, publisher)
        admins_out = not self._settings.collect_admins
        if kind.interaction:
            await move_names(kind, pages, store, publisher, admins_out, CHUNK)
        await self._read(upstream, pages, scan.page + 1, tell)
        if kind.vanishes and scan.whole:
            await self._take_back(upstream, pages, tell)
        if kind.key == "users":
            for other in KINDS.values():
                # One that is being collected moves them itself, when it next begins.
                if other.interaction and await store.lock(other):
                    await move_names(other, pages, store, publisher, admins_out, CHUNK)
                    await store.unlock(other)

    async def _read(self, upstream: Upstream, pages: Pages, page: int, tell: Callable[[KindStatus], None]) -> None:
        """Reads to the end: an empty page or a short one, or two in a row that bring nothing new."""
        scan, stale = self.scan, 0
        while True:
            found = await upstream.page(self.kind, page, scan.page_size)
            fresh = await pages.take(scan, found.rows, page)
            tell(scan.status)
            stale = 0 if fresh else stale + 1
            if not found.rows or found.short or stale == 2:
                return
            page += 1

    async def _take_back(self, upstream: Upstream, pages: Pages, tell: Callable[[KindStatus], None]) -> None:
        """Takes back the rows that vanished, or deletes the posts, after they were looked for twice.

        Rows that are deleted while pages are read push others over the edge of a page; an upstream that is ill sends
        pages twice, or half. So the pages are read once more, past a short one too, and what is still missing is
        believed when it is little.
        """
        kind, store, scan = self.kind, self._store, self.scan
        _, missing = await store.count_missing(kind, scan.number)
        if not missing:
            return
        doubt = await self._read_again(upstream, pages)
        known, missing = await store.count_missing(kind, scan.number)
        if not missing:
            return
        most = max(LEAST_VANISHED, int(self._settings.collect_most_vanished * known))
        if not doubt and missing > most:
            doubt = (
                f"more than the {most} that COLLECT_MOST_VANISHED={self._settings.collect_most_vanished:g} lets vanish"
            )
        if doubt:
            scan.status.note = f"{missing} of {known} rows are missing upstream; nothing was taken back: {doubt}."
            return
        while gone := await pages.drop_missing(scan, CHUNK):
            scan.status.taken_back += gone
            await store.save(kind, scan)
            tell(scan.status)

    async def _read_again(self, upstream: Upstream, pages: Pages) -> str:
        """Reads all pages once more, past a short one too; returns why what is still missing is not to be believed."""
        scan, page, seen, doubt, short = self.scan, 1, 0, "", False
        before: list[bytes] = []
        while True:
            try:
                found = await upstream.page(self.kind, page, scan.page_size)
            except UpstreamError:
                if not short:
                    raise
                break  # past the end it may answer anything
            rows = [bytes(row) for row in found.rows]
            if short and rows == before:
                break  # the last page again, for any page past the end
            if rows and short:
                doubt = "upstream answered with a short page before the last"
            await pages.take(scan, found.rows, scan.page)
            seen, short, before = seen + len(rows), found.short, rows
            if not rows:
                break
            page += 1
            if page > 2 * scan.page + 2:
                doubt = "its pages did not end"
                break
        return doubt if seen else "upstream has no row at all"


def _scan(last: Scan | None, page: int | None, page_size: int, now: datetime) -> Scan:
    """The last scan where it ended early, with the same pages; else a new one."""
    if last is not None and page is None:
        early = last.status.state != "succeeded"
        if early and last.page_size == page_size and last.started_at > now - GOES_ON:
            last.status.state, last.status.note = "running", None
            return last
    begin = page or 1
    status = KindStatus(
        state="running",
        page=begin - 1,
        run_id=uuid.uuid4().hex,
        last_success=last.status.last_success if last else None,
    )
    number = last.number + 1 if last else 1
    return Scan(
        run_id=status.run_id or "", number=number, whole=begin == 1, page=begin - 1, page_size=page_size,
        started_at=now, status=status,
    )  # fmt: skip
