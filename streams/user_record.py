"""States of users from the record: those whose idle state left Redis, and those a rebuild builds anew.

PostgreSQL has every event of a user in the order in which stage 1 applied it, so the state is learnt again from it.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any

import asyncpg

from online_models import user_history
from schemas.events import TYPE_CODES
from schemas.generation import Generation
from schemas.marks import InteractionsMark
from schemas.settings import Settings
from schemas.topics import INTERACTIONS
from schemas.user_state import HistoryEvent, UserState

EVENT_COLUMNS = "username, post_id, interaction_type, interaction_value, extract(epoch FROM occurred_at)::float8 AS at"
_NUMBERS = "SELECT log, log_number, log_offset FROM log_marks WHERE topic = $1 AND log_partition = $2"
_EVENTS = f"""
SELECT {EVENT_COLUMNS} FROM interactions
WHERE log_partition = $1 AND username = ANY($2::text[]) AND (log_number, log_offset) <= ($3, $4)
ORDER BY username, log_number, log_offset, log_index
"""  # noqa: S608
TIMEOUT_SECONDS = 1.0
"""Stage 1 waits meanwhile."""
AWAY_SECONDS = 5.0
"""After a failure nobody asks for this long: a PostgreSQL that is down must not hold up feeds."""


class RecordAway(Exception):
    """The record can't be asked now, or has not everything yet: the state is completed later."""


class UserRecord:
    """Learns states from the record as of a mark of stage 1."""

    def __init__(self, pool: asyncpg.Pool, settings: Settings) -> None:
        self._pool = pool
        self._weights = settings.interaction_weights
        self._ttl = settings.user_ttl
        self._away_until = 0.0

    def may_hold_more_than(self, generation: Generation) -> bool:
        """Whether a user that Redis doesn't have can be in the record: no state lives shorter than USER_IDLE_DAYS."""
        return not generation.complete or time.time() >= generation.started_at + self._ttl

    async def states(
        self, partition: int, usernames: Collection[str], mark: InteractionsMark, *, whole: bool
    ) -> dict[str, UserState]:
        """States of those users that the record knows, from their events up to the mark.

        whole: every event up to the mark must be recorded. Raises RecordAway.
        """
        if time.monotonic() < self._away_until:
            raise RecordAway
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                logs = {row["log"]: row for row in await self._pool.fetch(_NUMBERS, INTERACTIONS, partition)}
                current = logs.get(mark.log)
                if current is None:
                    if whole and mark.offset >= 0:
                        raise RecordAway
                    number, offset = max((row["log_number"] for row in logs.values()), default=0), 2**62
                else:
                    number, offset = current["log_number"], mark.offset
                    if whole and current["log_offset"] < offset:
                        raise RecordAway
                rows = await self._pool.fetch(_EVENTS, partition, list(usernames), number, offset)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:  # TimeoutError is an OSError
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise RecordAway from error
        states: dict[str, UserState] = {}
        for row in rows:
            state = states.setdefault(row["username"], UserState())
            user_history.learn_one(state, history_event(row), self._weights)
        return states


def history_event(row: Mapping[str, Any]) -> HistoryEvent:
    """The event of a row with EVENT_COLUMNS, as stage 1 had it."""
    value = round(row["interaction_value"] * 1000)
    return HistoryEvent(round(row["at"] * 1000), row["post_id"], TYPE_CODES[row["interaction_type"]], value)
