"""The lists that readers page through, in Redis, so that every API process goes on where another left off."""

from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from schemas import keys, visits
from schemas.errors import ContractError, ServiceUnavailable
from schemas.visits import MOST_SERVED, MOST_VISITS, Cursor, Visit

from .redis import RedisBytes
from .stages import Query

if TYPE_CHECKING:
    from .candidate_pipeline import Slate

UNREACHABLE = "paging: Redis does not answer; there is no next_cursor, and pages by number may repeat posts"


class Visits:
    """Pages cost a round trip to open, the first of a visit none; keeping goes on while the answer is put together."""

    def __init__(self, redis: RedisBytes) -> None:
        self._redis = redis

    async def open(self, query: Query, cursor: str | None) -> None:
        """Finds the list of this page, and what the session showed.

        Raises ContractError for a cursor that is none of this reader's, ServiceUnavailable when Redis does not tell.
        """
        if cursor is None and query.page == 1 and query.session_id is None:
            return
        reader = reader_of(query)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.lrange(keys.visits(reader), 0, -1).expire(keys.visits(reader), keys.VISIT_TTL_SECONDS)
        if query.session_id is not None:
            pipeline.lrange(keys.served(reader, query.session_id), 0, -1)
        try:
            listed, _, *pages = await pipeline.execute()
        except (RedisError, OSError) as error:
            if cursor is not None:
                raise ServiceUnavailable("Redis does not answer, which has the list; try again in a moment.") from error
            query.problems.append(UNREACHABLE)
            return
        known = [visit for payload in listed if (visit := visits.decode_visit(payload)) is not None]
        if cursor is not None:
            query.cursor, query.visit = visits.read_cursor(cursor, known)
            query.page = query.cursor.page
            if query.visit.query != query.asked:
                raise ContractError(
                    "the cursor belongs to a request with other parameters; send those of the page before", "cursor"
                )
        elif query.page > 1:
            query.visit = next((visit for visit in known if visit.query == query.asked), None)
        own = query.visit.id if query.visit is not None else b""
        shown = [visits.decode_page(payload) for payload in (pages[0] if pages else [])]
        others = [post_id for visit, posts in shown if visit != own for post_id in posts]
        query.served = query.catalogue.known_slots(others)

    async def keep(self, query: Query, slate: "Slate") -> str | None:
        """Keeps a new list and what this page shows; returns the cursor of the next page, None when this is the last.

        Without Redis there is no cursor, and `degraded` says so.
        """
        visit = query.visit
        ids = query.catalogue.ids
        reader, pipeline = reader_of(query), self._redis.pipeline(transaction=False)
        if visit is None:
            newest = int(ids[: query.catalogue.size].max(initial=0))
            visit = Visit.begin(query.asked, newest, ids[slate.ranking].tolist())
            if not slate.end or query.page > 1:
                key = keys.visits(reader)
                pipeline.lpush(key, visit.encode()).ltrim(key, 0, MOST_VISITS - 1).expire(key, keys.VISIT_TTL_SECONDS)
        if query.session_id is not None and len(slate.slots):
            key = keys.served(reader, query.session_id)
            pipeline.lpush(key, visits.encode_page(visit.id, ids[slate.slots].tolist()))
            pipeline.ltrim(key, 0, MOST_SERVED - 1).expire(key, keys.VISIT_TTL_SECONDS)
        try:
            if len(pipeline):
                await pipeline.execute()
        except (RedisError, OSError):
            slate.degraded.append(UNREACHABLE)
            return None
        if slate.end:
            return None
        return visits.sign(Cursor(visit.id, slate.next_place, slate.next_below, query.page + 1), visit)


def reader_of(query: Query) -> str:
    """Whose lists they are: those of a user, or of a guest's session."""
    return f"u:{query.username}" if query.username else f"s:{query.session_id}"
