"""The lists that readers page through, in Redis, so that every API process goes on where another left off."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from schemas import keys, visits
from schemas.errors import ContractError, ServiceUnavailable
from schemas.visits import MOST_SERVED, MOST_VISITS, Cursor, Visit

from .redis import RedisBytes
from .stages import Query

if TYPE_CHECKING:
    from .candidate_pipeline import Slate

SECOND_LOOK_SECONDS = 0.05
"""Between two looks for a list, which another process may just be sending."""
KEPT_IN_MIND_SECONDS = 5.0
"""That Redis took no list."""
MOST_SENDING = 1_000
"""Lists on their way; beyond, with Redis too slow, they are not kept."""
_log = structlog.get_logger()

UNREACHABLE = "paging: Redis does not answer; there is no next_cursor, and pages by number may repeat posts"


class Visits:
    """Pages cost a round trip to open, the first of a visit none. A list is sent to Redis while its page is answered:
    until it is there this process knows it, and another that is asked for it looks twice."""

    def __init__(self, redis: RedisBytes) -> None:
        self._redis = redis
        self._sending: dict[asyncio.Task[None], tuple[str, Visit, str, bytes]] = {}
        self._failed_at = float("-inf")

    async def open(self, query: Query, cursor: str | None) -> None:
        """Finds the list of this page, and what the session showed.

        Raises ContractError for a cursor that is none of this reader's, ServiceUnavailable when Redis does not tell.
        """
        if cursor is None and query.page == 1 and query.session_id is None:
            return
        try:
            known, shown = await self._read(query)
            if cursor is not None:
                try:
                    query.cursor, query.visit = visits.read_cursor(cursor, known)
                except ContractError:
                    await asyncio.sleep(SECOND_LOOK_SECONDS)
                    known, shown = await self._read(query)
                    query.cursor, query.visit = visits.read_cursor(cursor, known)
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
        elif query.page > 1:
            query.visit = next((visit for visit in known if visit.query == query.asked), None)
        own = query.visit.id if query.visit is not None else b""
        others = [post_id for visit, posts in shown if visit != own for post_id in posts]
        query.served = query.catalogue.known_slots(others)

    def keep(self, query: Query, slate: "Slate") -> str | None:
        """Keeps a new list and what this page shows; returns the cursor of the next page, None when this is the last.

        While Redis does not take lists there is no cursor, and `degraded` says so.
        """
        visit, ids, reader = query.visit, query.catalogue.ids, reader_of(query)
        new = visit is None and (not slate.end or query.page > 1)
        if visit is None:
            newest = int(ids[: query.catalogue.size].max(initial=0))
            visit = Visit.begin(query.asked, newest, ids[slate.ranking].tolist())
        session = keys.served(reader, query.session_id) if query.session_id and len(slate.slots) else ""
        page = visits.encode_page(visit.id, ids[slate.slots].tolist()) if session else b""
        if (new or session) and len(self._sending) < MOST_SENDING:
            task = asyncio.create_task(self._send(reader, visit if new else None, session, page))
            self._sending[task] = reader, visit, session, page
            task.add_done_callback(self._sending.pop)
        if time.monotonic() - self._failed_at < KEPT_IN_MIND_SECONDS:
            slate.degraded.append(UNREACHABLE)
            return None
        if slate.end:
            return None
        return visits.sign(Cursor(visit.id, slate.next_place, slate.next_below, query.page + 1), visit)

    async def _read(self, query: Query) -> tuple[list[Visit], list[tuple[bytes, Sequence[int]]]]:
        """The reader's visits, the newest first, and the pages of the session with the ids of their visits."""
        reader, session = reader_of(query), query.session_id
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.lrange(keys.visits(reader), 0, -1).expire(keys.visits(reader), keys.VISIT_TTL_SECONDS)
        if session is not None:
            pipeline.lrange(keys.served(reader, session), 0, -1)
        sending = [entry for entry in self._sending.values() if entry[0] == reader]
        listed, _, *pages = await pipeline.execute()
        known = [visit for _, visit, _, _ in reversed(sending)]
        known += [visit for payload in listed if (visit := visits.decode_visit(payload)) is not None]
        own = [page for _, _, name, page in sending if session is not None and name == keys.served(reader, session)]
        return known, [visits.decode_page(payload) for payload in own + (pages[0] if pages else [])]

    async def _send(self, reader: str, visit: Visit | None, session: str, page: bytes) -> None:
        try:
            if visit is not None:
                await self._push(keys.visits(reader), visit.encode(), MOST_VISITS)
            if session:
                await self._push(session, page, MOST_SERVED)
        except (RedisError, OSError) as error:
            self._failed_at = time.monotonic()
            _log.warning("a list to page through is not kept: Redis does not answer", error=str(error))

    async def _push(self, key: str, value: bytes, most: int) -> None:
        """Puts a value first in a list of at most `most`."""
        await self._redis.eval(_PUSH, 1, key, value, most - 1, keys.VISIT_TTL_SECONDS)


_PUSH = """
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2])
return redis.call('EXPIRE', KEYS[1], ARGV[3])
"""
"""One command: a pipeline of these three took a tenth of a feed's time."""


def reader_of(query: Query) -> str:
    """Whose lists they are: those of a user, or of a guest's session."""
    return f"u:{query.username}" if query.username else f"s:{query.session_id}"
