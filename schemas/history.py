"""A user's history: the newest interactions by event time, in columns, 9 bytes each.

Post ids, kinds (value in thousandths << 4 | type code) and the milliseconds between events are arrays, so that a state
is packed and unpacked without touching its events one by one. The bytes are exact: times to the millisecond, values to
the thousandth, whole ids.
"""

import struct
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .columns import inserted, pack, unpack
from .events import INTERACTION_TYPES, NEGATIVE_TYPES

TYPE_BITS = 4
TYPE_MASK = (1 << TYPE_BITS) - 1
LATEST = 16
"""Distinct posts held at hand, newest first: the context of an event, 15, and its own post. Without them 2 µs an event
went into finding the same posts again."""
_NEGATIVE = tuple(name in NEGATIVE_TYPES for name in INTERACTION_TYPES)
_HEADER = struct.Struct("<Hq")


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


class History:
    """Events in the order of HistoryEvent, oldest first, as which it iterates; the columns are for who is in a hurry.

    posts, kinds (n,): of each event. gaps (n − 1,): milliseconds from an event to the next. newest_at: event time of
    the newest in milliseconds since 1970; 0 when there is none.
    """

    __slots__ = ("_latest", "gaps", "kinds", "newest_at", "posts")

    def __init__(self, events: Iterable[HistoryEvent] = ()) -> None:
        self.posts: array[int] = array("H")
        self.kinds: array[int] = array("H")
        self.gaps: array[int] = array("I")
        self.newest_at = 0
        self._latest: list[int] | None = None
        for event in events:
            self.insert(event)

    def __len__(self) -> int:
        return len(self.posts)

    def __iter__(self) -> Iterator[HistoryEvent]:
        at = self.newest_at - sum(self.gaps)
        for post_id, kind, gap in zip(self.posts, self.kinds, [*self.gaps, 0], strict=False):
            yield HistoryEvent(at, post_id, kind & TYPE_MASK, kind >> TYPE_BITS)
            at += gap

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"History({list(self)})"

    def insert(self, event: HistoryEvent) -> int:
        """Puts an event in its place, and returns that."""
        at, post_id, code, value = event
        posts, kinds, gaps = self.posts, self.kinds, self.gaps
        place = len(posts)
        if at > self.newest_at or not place:
            if place:
                self.gaps = inserted(gaps, place - 1, at - self.newest_at)
            self.newest_at = at
        else:
            place, before = self._place(event)
            if place == 0:
                self.gaps = inserted(gaps, 0, before - at)
            elif place > len(gaps):
                gaps.append(0)
            else:
                gaps.insert(place, gaps[place - 1] - (at - before))
                gaps[place - 1] = at - before
        latest = self._latest
        if latest is not None and not _NEGATIVE[code]:
            if place < len(posts):
                self._latest = None
            else:
                if post_id in latest:
                    latest.remove(post_id)
                latest.insert(0, post_id)
                del latest[LATEST:]
        self.posts = inserted(posts, place, post_id)
        self.kinds = inserted(kinds, place, value << TYPE_BITS | code)
        return place

    def _place(self, event: HistoryEvent) -> tuple[int, int]:
        """Where an event that is not the newest goes, and the time of the one before it, or of the first."""
        posts, kinds, gaps = self.posts, self.kinds, self.gaps
        place, before = len(posts), self.newest_at
        while place and (before, posts[place - 1], kinds[place - 1] & TYPE_MASK, kinds[place - 1] >> TYPE_BITS) > event:
            place -= 1
            if place:
                before -= gaps[place - 1]
        return place, before

    def remove(self, place: int) -> tuple[int, int]:
        """Takes an event out: its post and its kind."""
        gaps = self.gaps
        if place == len(gaps):
            self.newest_at -= gaps.pop() if gaps else self.newest_at
        elif place == 0:
            del gaps[0]
        else:
            wider = gaps.pop(place) + gaps.pop(place - 1)
            self.gaps = inserted(gaps, place - 1, wider)
        post_id = self.posts.pop(place)
        if self._latest is not None and post_id in self._latest:
            self._latest = None
        return post_id, self.kinds.pop(place)

    def latest(self, skip: int) -> list[int]:
        """The newest LATEST − 1 distinct posts, newest first, without disliked ones and `skip`."""
        if self._latest is None:
            self._latest = self.distinct(len(self.posts), LATEST)
        posts = self._latest.copy()
        if skip in posts:
            posts.remove(skip)
        return posts[: LATEST - 1]

    def distinct(self, end: int, limit: int, skip: int = 0) -> list[int]:
        """As many distinct posts before place `end`, newest first, without disliked ones and `skip`."""
        posts, kinds = self.posts, self.kinds
        found = {skip: None}
        while end:
            end -= 1
            if not _NEGATIVE[kinds[end] & TYPE_MASK]:
                found[posts[end]] = None
                if len(found) > limit:
                    break
        return [*found][1:]

    def pack(self) -> list[bytes]:
        """Parts to be joined. An event takes 3 bytes for an id below 2^24, 2 for a value below 4.1, 4 for its time."""
        header = _HEADER.pack(len(self.posts), self.newest_at)
        return [header, *pack(self.posts), *pack(self.kinds), *pack(self.gaps)]

    @classmethod
    def unpack(cls, payload: bytes, start: int) -> tuple["History", int]:
        """The history packed at `start`, and where it ends. Raises ValueError when it is cut short."""
        history = cls.__new__(cls)  # without the columns that a new one begins with
        history._latest = None
        count, history.newest_at = _HEADER.unpack_from(payload, start)
        history.posts, start = unpack(payload, start + _HEADER.size, count)
        history.kinds, start = unpack(payload, start, count)
        history.gaps, start = unpack(payload, start, max(count - 1, 0))
        return history, start
