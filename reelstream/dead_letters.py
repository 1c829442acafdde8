"""Finds dead letters: the newest that a filter lets through, each once."""

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas import topics
from schemas.dead_letters import DeadLetter, decode
from schemas.errors import ContractError, ReelstreamError
from schemas.settings import Settings

from .topic_reader import newest


@dataclass(frozen=True)
class Filter:
    """What a letter has to be; whatever is None or empty asks nothing.

    topic: its source topic. reason: part of its reason, capitals or not. field: the refused field.
    since (included), until (not included): when it was refused. names: one of these.
    """

    topic: str | None = None
    reason: str | None = None
    field: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    names: Collection[str] = frozenset()

    def lets_through(self, letter: DeadLetter, at: datetime) -> bool:
        return (
            (self.topic is None or letter.topic == self.topic)
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
            and (self.field is None or letter.field == self.field)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (not self.names or letter.name in self.names)
        )


@dataclass(frozen=True)
class Found:
    """A letter and when it was refused. place: partition and offset in `dead-letters`."""

    at: datetime
    place: tuple[int, int]
    letter: DeadLetter


async def find(settings: Settings, wanted: Filter, limit: int | None) -> list[Found]:
    """The newest `limit` letters (None: all) that the filter lets through, the newest last.

    A worker that was killed may have written a letter twice: the later one stands for both. Raises ReelstreamError when
    a name is not there, ServiceUnavailable when no broker answers.
    """
    look_back = limit if limit is not None and wanted == Filter() else sys.maxsize
    found: dict[str, Found] = {}
    async for records in newest(settings, topics.DEAD_LETTERS, range(settings.kafka_partitions), look_back):
        for record in records:
            try:
                letter = decode(record.value)
            except ContractError:
                continue  # not written by a worker
            at = datetime.fromtimestamp(max(record.timestamp, 0) / 1000, UTC)
            if wanted.lets_through(letter, at):
                found[letter.name] = Found(at, (record.partition, record.offset), letter)
        if limit is not None and len(found) > 2 * limit:
            found = {each.letter.name: each for each in _newest_of(found, limit)}
    if missing := sorted(set(wanted.names) - set(found)):
        raise ReelstreamError(
            f"No dead letter is named {', '.join(missing)}. `reelstream dead-letters list` lists those there are."
        )
    return list(_newest_of(found, limit))


def _newest_of(found: dict[str, Found], limit: int | None) -> Iterator[Found]:
    ordered = sorted(found.values(), key=lambda each: (each.at, each.place))
    yield from ordered if limit is None else ordered[-limit:]
