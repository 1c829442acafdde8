"""Reads the events of a message of `interactions`: decoded, timed, named."""

from collections.abc import Iterator
from typing import NamedTuple

from schemas import decoding
from schemas.decoding import MOST_REFUSED, too_many_refused
from schemas.errors import ContractError
from schemas.events import TYPE_CODES, Interaction, decode_message, event_id_at, event_time
from schemas.user_state import HistoryEvent

from .record import Record


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

    An event without an id is named after its place in the log; one without a time happened when it was produced.
    """
    try:
        if record.value is None:
            raise ContractError("an interaction has a value: a null value deletes posts and users only")
        entries = _timed(decode_message(record.value), record)
    except ContractError as error:
        yield 0, error
        return
    single = len(entries) == 1
    for index, (entry, at) in enumerate(entries):
        if isinstance(entry, ContractError):
            yield index, entry
        else:
            place = record.topic, record.partition, record.offset
            event_id = entry.event_id or event_id_at(*place, None if single else index)
            yield ReadEvent(record.offset, index, event_id, at, entry)


def _timed(
    entries: list[Interaction | ContractError], record: Record
) -> list[tuple[Interaction | ContractError, float]]:
    """Each entry with its event time; one whose time is refused becomes a ContractError. Raises ContractError."""
    timed: list[tuple[Interaction | ContractError, float]] = []
    refused = 0
    for index, entry in enumerate(entries):
        if isinstance(entry, ContractError):
            timed.append((entry, 0.0))
            continue
        try:
            timed.append((entry, event_time(entry, record.at)))
        except ContractError as error:
            refused += 1
            if refused > MOST_REFUSED:
                raise too_many_refused(error) from None
            if len(entries) > 1:
                error.payload = bytes(decoding.entries(record.value or b"")[index])
            timed.append((error, 0.0))
    return timed
