"""When everything has been read: no worker lags, and the log stays as long as it is."""

import asyncio
import time

from schemas import topics
from schemas.errors import ReelstreamError
from schemas.heartbeat import Heartbeat

from . import log
from .system import PARTITIONS, System

READ_BY = {
    "learn": (topics.INTERACTIONS, topics.POSTS, topics.USERS, topics.ITEM_SIGNALS, topics.IMPRESSIONS),
    "models": (topics.LEARNING,),
    "record": (topics.INTERACTIONS, topics.POSTS, topics.USERS, topics.IMPRESSIONS),
}
PARTITIONS_OF = {topics.LEARNING: 1}
SECONDS_STILL = 3.0


class Unsettled(Exception):
    """The workers did not catch up; says who lags and what their logs say."""


def lagging(beats: list[Heartbeat], most: int = 0) -> list[str]:
    """Partitions that nobody owns, that two own, or whose worker is more than `most` behind or does not know yet."""
    found = []
    for role, names in READ_BY.items():
        for tp in (f"{name}-{partition}" for name in names for partition in range(PARTITIONS_OF.get(name, PARTITIONS))):
            owners = [beat for beat in beats if beat.role == role and tp in beat.partitions]
            if len(owners) != 1:
                found.append(f"{tp} is owned by {[beat.id for beat in owners] or 'no'} {role} worker")
            elif (lag := owners[0].lag.get(tp)) is None or lag > most:
                found.append(f"{owners[0].id} lags {lag} behind in {tp}")
    return found


async def settled(system: System, seconds: float) -> None:
    """Raises Unsettled after that many seconds."""
    deadline = time.monotonic() + seconds
    still_since, before = time.monotonic(), None
    while True:
        try:
            behind = lagging(await system.heartbeats())
            ends = None if behind else await log.ends(system.brokers, READ_BY["learn"])
        except ReelstreamError as error:
            behind, ends = [str(error)], None
        if ends is None or ends != before:
            still_since, before = time.monotonic(), ends
        elif time.monotonic() - still_since >= SECONDS_STILL:
            return
        if time.monotonic() > deadline:
            tails = [f"--- {name}\n{process.last_lines()}" for name, process in system.processes.items()]
            raise Unsettled("\n".join([*behind, *tails]))
        await asyncio.sleep(0.5)
