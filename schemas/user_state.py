"""What stage 1 keeps of a user, as one Redis value: the history, and what it no longer tells."""

import struct
from array import array
from collections import Counter
from collections.abc import Iterator

import msgspec

from .columns import inserted, last_place, pack, unpack
from .errors import ReelstreamError
from .events import INTERACTION_TYPES, MEASURED_TYPES, NEGATIVE_TYPES
from .history import TYPE_BITS, TYPE_MASK, History, HistoryEvent

__all__ = [
    "EXCLUDED_LENGTH", "FORMAT", "HISTORY_LENGTH", "REACTIONS_LENGTH", "SEEN_LENGTH", "HistoryEvent", "UserState",
    "reaction_key",
]  # fmt: skip

HISTORY_LENGTH = 200
SEEN_LENGTH = 2_000
EXCLUDED_LENGTH = 1_000
REACTIONS_LENGTH = 2_000
"""The last three bound what is kept beside the history. At 9 bytes an event, 3 a post and 4 a reaction that is 19 KB
a user at most; 450 bytes after 50 events."""
FORMAT = 2

_NEGATIVE = tuple(name in NEGATIVE_TYPES for name in INTERACTION_TYPES)
_MEASURED = tuple(name in MEASURED_TYPES for name in INTERACTION_TYPES)
_HEADER = struct.Struct("<BI")
_COUNTS = struct.Struct("<HHH")


def _no_posts() -> "array[int]":
    return array("I")


class UserState(msgspec.Struct):
    """The user half of the state: nothing that the history tells is kept a second time.

    What follows it holds what the history does not tell, because the events left it by its cap or were taken back; in
    the order in which they left, oldest first, and beyond a length the oldest go. So a state that was read from Redis
    is the one that was written, and goes on as that would have.

    history: the newest HISTORY_LENGTH interactions by event time.
    older_seen: posts the user met in any way but a dislike, each once, the newest SEEN_LENGTH.
    older_excluded: posts the user disliked and did not take back, each once, the newest EXCLUDED_LENGTH.
    older_reactions: reaction_key of each reaction that stands, the newest REACTIONS_LENGTH.
    events: interactions ever learnt from.
    """

    history: History = msgspec.field(default_factory=History)
    older_seen: "array[int]" = msgspec.field(default_factory=_no_posts)
    older_excluded: "array[int]" = msgspec.field(default_factory=_no_posts)
    older_reactions: "array[int]" = msgspec.field(default_factory=_no_posts)
    events: int = 0

    @property
    def seen(self) -> set[int]:
        """Posts the user has met in any way but a dislike; one whose like was taken back stays among them.

        Put together anew each time, as are the next two: 20 µs at a full history.
        """
        return {*self.older_seen, *self._posts(negative=False)}

    @property
    def excluded(self) -> set[int]:
        """Posts the user disliked (not_interested, report, exit) and did not take back."""
        return {*self.older_excluded, *self._posts(negative=True)}

    @property
    def reactions(self) -> Counter[int]:
        """reaction_key → how many of that reaction stand, for types that can be taken back."""
        columns = zip(self.history.posts, self.history.kinds, strict=True)
        standing = Counter(
            reaction_key(post_id, kind & TYPE_MASK) for post_id, kind in columns if not _MEASURED[kind & TYPE_MASK]
        )
        standing.update(self.older_reactions)
        return standing

    def _posts(self, negative: bool) -> Iterator[int]:
        columns = zip(self.history.posts, self.history.kinds, strict=True)
        return (post_id for post_id, kind in columns if _NEGATIVE[kind & TYPE_MASK] is negative)

    def remember_seen(self, post_id: int) -> None:
        self.older_seen = _remembered(self.older_seen, post_id, SEEN_LENGTH)

    def remember_excluded(self, post_id: int) -> None:
        self.older_excluded = _remembered(self.older_excluded, post_id, EXCLUDED_LENGTH)

    def remember_reaction(self, key: int) -> None:
        older = self.older_reactions = inserted(self.older_reactions, len(self.older_reactions), key)
        if len(older) > REACTIONS_LENGTH:
            del older[0]

    def encode(self) -> bytes:
        """The format number, the history, and the rest where there is any."""
        parts = [_HEADER.pack(FORMAT, self.events), *self.history.pack()]
        seen, excluded, reactions = self.older_seen, self.older_excluded, self.older_reactions
        if seen or excluded or reactions:
            counts = _COUNTS.pack(len(seen), len(excluded), len(reactions))
            parts += [counts, *pack(seen), *pack(excluded), *pack(reactions)]
        return b"".join(parts)

    @classmethod
    def decode(cls, payload: bytes | None) -> "UserState":
        """Unpacks a state; None is a user nobody has met. Raises ReelstreamError for another format, half a state."""
        if payload is None:
            return cls()
        if payload[:1] != _FORMAT_BYTE:
            raise ReelstreamError(f"user state is not of format {FORMAT}: run `reelstream rebuild`")
        try:
            _, events = _HEADER.unpack_from(payload)
            history, at = History.unpack(payload, _HEADER.size)
            if at == len(payload):
                return cls(history, events=events)
            seen_length, excluded_length, reactions_length = _COUNTS.unpack_from(payload, at)
            seen, at = unpack(payload, at + _COUNTS.size, seen_length)
            excluded, at = unpack(payload, at, excluded_length)
            reactions, at = unpack(payload, at, reactions_length)
        except (IndexError, ValueError, struct.error):
            raise ReelstreamError("user state is cut short: run `reelstream rebuild`") from None
        return cls(history, seen, excluded, reactions, events)


def _remembered(posts: "array[int]", post_id: int, length: int) -> "array[int]":
    """The posts with `post_id` as the newest, at most `length` of them."""
    place = last_place(posts, post_id)
    if place >= 0:
        del posts[place]
    posts = inserted(posts, len(posts), post_id)
    if len(posts) > length:
        del posts[0]
    return posts


_FORMAT_BYTE = bytes([FORMAT])


def reaction_key(post_id: int, type_code: int) -> int:
    """Key of a reaction. 4 bits hold the 11 types; a post id has at most 53."""
    return post_id << TYPE_BITS | type_code
