"""What stage 1 keeps of a user, as one Redis value: history, seen set, exclusions, reactions."""

from typing import NamedTuple

import msgspec

from .errors import ReelstreamError
from .events import INTERACTION_TYPES

HISTORY_LENGTH = 200
SEEN_LENGTH = 2_000
EXCLUDED_LENGTH = 1_000
REACTIONS_LENGTH = 2_000
FORMAT = 1


class HistoryEvent(NamedTuple):
    """One remembered interaction. `value` is in thousandths, so that it survives encoding exactly."""

    at_ms: int
    post_id: int
    type_code: int
    value_milli: int

    @property
    def interaction_type(self) -> str:
        return INTERACTION_TYPES[self.type_code]

    @property
    def value(self) -> float:
        return self.value_milli / 1000


class UserState(msgspec.Struct):
    """The user half of the state. Sets are dicts so that they keep the order of arrival, oldest first.

    history: the newest HISTORY_LENGTH interactions by event time, oldest first.
    seen: posts the user has met in any way but a dislike.
    excluded: posts the user disliked (not_interested, report, exit) and did not take back.
    reactions: (post id << 4 | type code) → how many of that type stand, for types that can be taken back.
    """

    history: list[HistoryEvent] = msgspec.field(default_factory=list)
    seen: dict[int, None] = msgspec.field(default_factory=dict)
    excluded: dict[int, None] = msgspec.field(default_factory=dict)
    reactions: dict[int, int] = msgspec.field(default_factory=dict)
    events: int = 0

    def encode(self) -> bytes:
        """Packs the state as msgpack: about 19 bytes an event, 3 to 9 a set member. A format number comes first."""
        return _encoder.encode(
            (FORMAT, self.events, self.history, list(self.seen), list(self.excluded), self.reactions)
        )

    @classmethod
    def decode(cls, payload: bytes | None) -> "UserState":
        """Unpacks a state; None is a user nobody has met. Raises ReelstreamError for a format of another version."""
        if payload is None:
            return cls()
        version, events, history, seen, excluded, reactions = _decoder.decode(payload)
        if version != FORMAT:
            raise ReelstreamError(f"user state has format {version}, this version reads {FORMAT}: run a rebuild")
        return cls(history, dict.fromkeys(seen), dict.fromkeys(excluded), reactions, events)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, int, list[HistoryEvent], list[int], list[int], dict[int, int]])


def reaction_key(post_id: int, type_code: int) -> int:
    """Key of UserState.reactions. 4 bits hold the 11 types; a post id has at most 53."""
    return post_id << 4 | type_code
