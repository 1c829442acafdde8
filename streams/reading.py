"""Reads the events of a message of `interactions`: decoded, timed, named."""

from collections.abc import Iterator
from typing import NamedTuple

from schemas.errors import ContractError
from schemas.events import TYPE_CODES, Interaction, decode_message
from schemas.user_state import HistoryEvent

from .record import Record

MOST_SECONDS_AHEAD = 86_400.0


class ReadEvent(NamedTuple):
    """One event with what its message adds: its id, its event time in seconds, and where the log has it.

    entry: its place in the array that the message carries; 0 when it came alone.
    """

    offset: int
    entry: int
    event_id: str
    at: float
    interaction: Interaction

    @property
    def history_event(self) -> HistoryEvent:
        event = self.interaction
        return HistoryEvent(
            round(self.at * 1000),
            event.post_id,
            TYPE_CODES[event.interaction_type],
            round((event.interaction_value or 0.0) * 1000),
        )


def read_events(record: Record) -> Iterator[ReadEvent | tuple[int, ContractError]]:
    """Each event of a message, or its index and why it is refused.

    An event without an id is named after its place in the log; one without a time happened when it was produced. One
    from more than a day after it was produced is refused: it would outlive everything else in decayed sums. Nothing
    here looks at the clock, so that reading a log again gives the same.
    """
    try:
        entries = decode_message(record.value or b"")
    except ContractError as error:
        yield 0, error
        return
    single = len(entries) == 1
    for index, entry in enumerate(entries):
        if isinstance(entry, ContractError):
            yield index, entry
            continue
        at = entry.occurred_at.timestamp() if entry.occurred_at else record.at
        if record.at > 0 and at > record.at + MOST_SECONDS_AHEAD:
            yield index, ContractError("occurred_at: lies more than a day ahead of the message", "occurred_at")
            continue
        place = f"{record.topic}-{record.partition}-{record.offset}"
        event_id = entry.event_id or (place if single else f"{place}-{index}")
        yield ReadEvent(record.offset, index, event_id, at, entry)
