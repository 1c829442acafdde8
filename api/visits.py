"""The lists that readers page through, in Redis, so that every API process goes on where another left off."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from redis.exceptions import RedisError

from schemas import keys, visits
from schemas.errors import ContractError, ServiceUnavailable
from schemas.visits import MOST_SERVED, MOST_VISITS, Cursor, Visit

from .catalogue import Catalogue
from .redis import RedisBytes
from .stages import Query

if TYPE_CHECKING:
    from .candidate_pipeline import Slate

READ_SECONDS = 0.25
GATHER_SECONDS = 0.02
"""Lists wait so long for others: at a thousand a second, twenty go in one command's time."""
SECOND_LOOK_SECONDS = 0.1
"""Between two looks for a list, which another process may just be sending."""
KEPT_IN_MIND_SECONDS = 5.0
"""That Redis took no list."""
MOST_WAITING = 10_000
"""Lists on their way; beyond, with Redis too slow, they are not kept."""
_log = structlog.get_logger()

UNREACHABLE = "paging: Redis does not answer; there is no next_cursor, and pages by number may repeat posts"


class Visits:
    """Pages cost a round trip to open, the first of a visit none. Lists are sent to Redis together, GATHER_SECONDS
    after the first of them: until they are there this process knows them, and another that is asked for one looks
    twice."""

    def __init__(self, redis: RedisBytes) -> None:
        self._redis = redis
        self._waiting: list[_Kept] = []
        self._sending: list[_Kept] = []
        self._sender: asyncio.Task[None] | None = None
        self._failed_at = float("-inf")
        self._largest: tuple[Catalogue | None, int, int] = None, 0, 0

    async def open(self, query: Query, cursor: str | None) -> None:
        """Finds the list of this page, and what the session showed.

        Raises ContractError for a cursor that is none of this reader's, ServiceUnavailable when Redis does not tell.
        """
        if cursor is None and query.page == 1 and query.session_id is None:
            return
        try:
            shown = await self._find(query, cursor)
        except (RedisError, OSError) as error:
            if cursor is not None:
                raise ServiceUnavailable("Redis does not answer, which has the list; try again in a moment.") from error
            query.problems.append(UNREACHABLE)
            return
        if query.cursor is not None and query.visit is not None:
            query.page = query.cursor.page
            if query.visit.query != query.asked:
                raise ContractError(
                    "the cursor belongs to a request with other parameters; send those of the page before", "cursor"
                )
        own = query.visit.id if query.visit is not None else b""
        others = [post_id for visit, posts in shown if visit != own for post_id in posts]
        query.served = query.catalogue.known_slots(others)

    def keep(self, query: Query, slate: "Slate") -> str | None:
        """Keeps a new list and what this page shows; returns the cursor of the next page, None when this is the last.

        While Redis does not take lists there is no cursor, and `degraded` says so.
        """
        visit, ids, reader = query.visit, query.catalogue.ids, reader_of(query)
        if visit is None and query.session_id is None and slate.ranked is not None:
            visit = slate.ranked.shared_visit(query.now)
        new = visit is None and (not slate.end or query.page > 1)
        if visit is None:
            visit = Visit.begin(query.asked, self._newest(query.catalogue), ids[slate.ranking])
            if slate.ranked is not None:
                slate.ranked.visit, slate.ranked.visit_at = visit, query.now
        session = keys.served(reader, query.session_id) if query.session_id and len(slate.slots) else ""
        page = visits.encode_page(visit.id, ids[slate.slots].tolist()) if session else b""
        full = len(self._waiting) + len(self._sending) >= MOST_WAITING
        if (new or session) and not full:
            self._waiting.append(_Kept(reader, visit, new, session, page))
            if self._sender is None:
                self._sender = asyncio.create_task(self._send())
        if full or time.monotonic() - self._failed_at < KEPT_IN_MIND_SECONDS:
            slate.degraded.append(UNREACHABLE)
            return None
        if slate.end:
            return None
        return visits.sign(Cursor(visit.id, slate.next_place, slate.next_below, query.page + 1), visit)

    def _newest(self, catalogue: Catalogue) -> int:
        """The largest post id, looked for again when a post came: of 10,000 that takes 10 µs, of 100,000 39."""
        known, size, newest = self._largest
        if known is not catalogue or size != catalogue.size:
            newest = int(catalogue.ids[: catalogue.size].max(initial=0))
            self._largest = catalogue, catalogue.size, newest
        return newest

    async def _find(self, query: Query, cursor: str | None) -> list[tuple[bytes, Sequence[int]]]:
        """Sets `visit` and `cursor`, and returns what the session showed. Raises ContractError."""
        known, shown = await self._read(query)
        for last_look in (False, True):
            if cursor is not None:
                try:
                    query.cursor, query.visit = visits.read_cursor(cursor, known)
                except ContractError:
                    if last_look:
                        raise
            elif query.page > 1:
                query.visit = next((visit for visit in known if visit.query == query.asked), None)
            if last_look or query.visit is not None or (cursor is None and query.page == 1):
                break
            await asyncio.sleep(SECOND_LOOK_SECONDS)
            known, shown = await self._read(query)
        return shown

    async def _read(self, query: Query) -> tuple[list[Visit], list[tuple[bytes, Sequence[int]]]]:
        """The reader's visits, the newest first, and the pages of the session with the ids of their visits."""
        reader, session = reader_of(query), query.session_id
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.lrange(keys.visits(reader), 0, -1).expire(keys.visits(reader), keys.VISIT_TTL_SECONDS)
        if session is not None:
            pipeline.lrange(keys.served(reader, session), 0, -1)
        here = [kept for kept in reversed(self._sending + self._waiting) if kept.reader == reader]
        async with asyncio.timeout(READ_SECONDS):
            listed, _, *pages = await pipeline.execute()
        known = [kept.visit for kept in here]
        known += [visit for payload in listed if (visit := visits.decode_visit(payload)) is not None]
        own = [kept.page for kept in here if session is not None and kept.session == keys.served(reader, session)]
        return known, [visits.decode_page(payload) for payload in own + (pages[0] if pages else [])]

    async def close(self) -> None:
        """Returns when what waits was sent, or could not be."""
        if self._sender is not None:
            await self._sender

    async def _send(self) -> None:
        """Until nothing waits."""
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_SECONDS)
                self._sending, self._waiting = self._waiting, []
                pipeline = self._redis.pipeline(transaction=False)
                for kept in self._sending:
                    if kept.new:
                        _push(pipeline, keys.visits(kept.reader), kept.visit.encode(), MOST_VISITS)
                    if kept.session:
                        _push(pipeline, kept.session, kept.page, MOST_SERVED)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            self._failed_at = time.monotonic()
            _log.warning("lists to page through are not kept: Redis does not answer", error=str(error))
        finally:
            self._sending, self._sender = [], None


class _Kept(NamedTuple):
    """new: the visit has to be kept. session: key of the list that the page goes to, empty for none."""

    reader: str
    visit: Visit
    new: bool
    session: str
    page: bytes


def _push(pipeline: Any, key: str, value: bytes, most: int) -> None:
    """Puts a value first in a list of at most `most`."""
    pipeline.eval(_PUSH, 1, key, value, most - 1, keys.VISIT_TTL_SECONDS)


_PUSH = """
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2])
return redis.call('EXPIRE', KEYS[1], ARGV[3])
"""
"""One command a list: three take 1.5 times as long to put together, and as many answers."""


def reader_of(query: Query) -> str:
    """Whose lists they are: those of a user, or of a guest's session."""
    return f"u:{query.username}" if query.username else f"s:{query.session_id}"
