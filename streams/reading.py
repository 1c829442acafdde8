"""Reads the events of a message of `interactions`: decoded, timed, named."""

from contextlib import suppress
from typing import NamedTuple

from schemas import decoding
from schemas.decoding import MOST_REFUSED, too_many_refused
from schemas.errors import ContractError
from schemas.events import TYPE_CODES, Interaction, decode_message, event_id_at, event_time
from schemas.forgetting import forgets
from schemas.user_state import HistoryEvent
from schemas.users import deleted_user

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


def forgotten_user(record: Record) -> str | None:
    """The user whom a message of `interactions` forgets, if it does (schemas.forgetting)."""
    if record.value is None and forgets(record.headers):
        with suppress(ContractError):
            return deleted_user(record.key)
    return None


def read_events(record: Record) -> list[ReadEvent | tuple[int, ContractError]]:
    """Each event of a message, or its index and why it is refused.

    An event without an id is named after its place in the log; one without a time happened when it was produced.
    """
    try:
        if forgotten_user(record) is not None:
            return []
        if record.value is None:
            raise ContractError(
                "an interaction has a value: a null value deletes posts and users, and forgets with the header `forget`"
            )
        return _read(record, decode_message(record.value))
    except ContractError as error:
        return [(0, error)]


def _read(record: Record, entries: list[Interaction | ContractError]) -> list[ReadEvent | tuple[int, ContractError]]:
    """The entries with what their message adds. Raises ContractError when the times of most are refused."""
    found: list[ReadEvent | tuple[int, ContractError]] = []
    topic, partition, offset, produced_at, _, value, _ = record
    single, refused = len(entries) == 1, 0
    for index, entry in enumerate(entries):
        if isinstance(entry, ContractError):
            found.append((index, entry))
            continue
        try:
            at = event_time(entry, produced_at)
        except ContractError as error:
            refused += 1
            if refused > MOST_REFUSED:
                raise too_many_refused(error) from None
            if not single:
                error.payload = bytes(decoding.entries(value or b"")[index])
            found.append((index, error))
            continue
        event_id = entry.event_id or event_id_at(topic, partition, offset, None if single else index)
        found.append(ReadEvent(offset, index, event_id, at, entry))
    return found
