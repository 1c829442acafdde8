"""The verdict: what a run was, and everything in which Redis and PostgreSQL differ from the log after it."""

import asyncio
import time
from dataclasses import dataclass, field

import asyncpg
from redis.asyncio import Redis

from schemas import dead_letters, topics

from . import compare, log, model
from .publisher import Publisher
from .settled import Unsettled, settled
from .system import System

SETTLE_SECONDS = 240.0
LATE_SECONDS = 20.0
SHOWN = 40


@dataclass
class Outcome:
    """faults: by kind. load: what the publisher counted. ended: processes that ended by themselves, and how.

    seconds: with faults, until all was applied, altogether.
    """

    seed: int
    faults: dict[str, int] = field(default_factory=dict)
    load: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    log_messages: int = 0
    log_events: int = 0
    forwarded: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"differs: {line}" for line in self.differences[:SHOWN]]
        if self.differences:
            again = f"make faults SEED={self.seed} FAULTS={sum(self.faults.values())}"
            lines.append(f"seed {self.seed}: {len(self.differences)} differences; again: {again}")
        return "\n".join(lines)


async def judge(system: System, publisher: Publisher, outcome: Outcome) -> None:
    """Ends the load, waits until all is applied, and compares everything; fills `outcome`."""
    await publisher.finish()
    try:
        await settled(system, SETTLE_SECONDS)
    except Unsettled as error:
        outcome.differences.append(f"not caught up after {SETTLE_SECONDS:.0f} s: {error}")
    refused: set[log.Place] = set()
    records = log.in_time(await log.read(system.brokers, topics.INTERACTIONS))
    posts = await log.read(system.brokers, topics.POSTS)
    found = list(log.entries(records, refused))
    expected = model.expect(found, posts, refused)
    named = {entry.name for entry in found}
    outcome.load, outcome.ended = dict(publisher.tally), dict(system.ended)
    outcome.log_messages, outcome.log_events = len(records), len(found)
    outcome.forwarded = sum(bool(entry.forwarded_from) for entry in found)
    outcome.differences += log.wrong_copies(found)
    outcome.differences += [f"accepted and not in the log: {name}" for name in publisher.accepted - named]
    outcome.differences += [f"{count} times while sending: {what}" for what, count in publisher.unexpected.items()]
    outcome.differences += await _state_differences(system, expected, refused)


async def _state_differences(system: System, expected: model.Expected, refused: set[log.Place]) -> list[str]:
    """Looks again for LATE_SECONDS when something differs: a heartbeat may be a moment ahead of the last write."""
    deadline = time.monotonic() + LATE_SECONDS
    async with Redis.from_url(system.redis_url) as redis:
        record = await asyncpg.connect(system.database_url)
        try:
            while True:
                differing = await compare.differences(redis, record, expected)
                differing += await _dead_letters(system, refused)
                if not differing or time.monotonic() > deadline:
                    return differing
                await asyncio.sleep(1)
        finally:
            await record.close()


async def _dead_letters(system: System, refused: set[log.Place]) -> list[str]:
    """Each refused message or entry is told once at least, and nothing else is."""
    letters = [dead_letters.decode(record.value) for record in await log.read(system.brokers, topics.DEAD_LETTERS)]
    told = {(each.topic, each.partition, each.offset, each.index) for each in letters}
    lines = [f"no dead letter for {place}" for place in refused - told]
    return lines + [f"a dead letter for {place}, which is fine" for place in told - refused]
