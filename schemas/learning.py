"""Learning events: what stage 1 tells the global models (topic `learning`, internal, msgpack).

One message carries the events of one batch of one partition of users, in columns, each with the user's past as the
history has it: slices of its columns cost 0.2 µs an event, where to make 50 posts distinct in Python took 3 µs and to
turn them into a column another 2. online_models.contexts makes of them what models learn from.

It does not say where the events were read: what a crash makes stage 1 tell twice is learnt twice, which does a model
no harm.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import ContractError
from .events import INTERACTION_TYPES, LATEST, MOST_ID, MOST_WEIGHT
from .guests import is_guest
from .impressions import (
    MOST_FEATURE,
    MOST_OUTSIDE,
    MOST_POSITION,
    MOST_POSTS,
    SOURCE_NAME,
    Impression,
)
from .posts import Post

N = TypeVar("N", np.int32, np.int64)

MOST_CONTEXT = 64
"""Interactions of the past that travel with an event: 50 distinct posts and some to spare. 512 bytes at most of them,
and 384 of most."""
MOST_EVENTS = 1_000
"""Of a message: at most 830 KB. Brokers take 1 MB by default."""


class LearningBatch(NamedTuple):
    """Interactions of users with posts, in the order in which stage 1 applied them. n events, c of their pasts.

    user (n,): user_hash of who it was; no name travels. post_id (n,). at (n,): event time, seconds
    since 1970. type_code (n,), value_milli (n,): as in schemas.history.HistoryEvent.
    delta (n,): +1, or −1 for a take-back. weight (n,): signed strength. gain (n,): by how much the event raises the
    user's strength for the post, ≥ 0 (online_models.user_history.Effect).
    new (n,): nothing is remembered of the user and this post.
    events (n,): how many events of the user came before. previous_at (n,): time of the newest of them, 0 without one.
    starts (n + 1,): the past of event e is [starts[e] : starts[e + 1]] of context (c,), post ids, and kinds (c,), what
    it was (value in thousandths << 4 | type code): the newest MOST_CONTEXT interactions that were known when the event
    came, oldest first; of every kind, a post as often as the user came to it.
    """

    user: NDArray[np.int64]
    post_id: NDArray[np.int64]
    at: NDArray[np.float64]
    type_code: NDArray[np.int8]
    value_milli: NDArray[np.int32]
    delta: NDArray[np.int8]
    weight: NDArray[np.float64]
    gain: NDArray[np.float64]
    new: NDArray[np.bool_]
    events: NDArray[np.int32]
    previous_at: NDArray[np.float64]
    starts: NDArray[np.int32]
    context: NDArray[np.int64]
    kinds: NDArray[np.int32]

    @property
    def size(self) -> int:
        """How many events there are."""
        return len(self.user)

    def every(self, step: int) -> "LearningBatch":
        """The first event and each `step`-th after it, with their pasts."""
        kept = np.arange(self.size) % step == 0
        lengths = np.diff(self.starts)
        past = np.repeat(kept, lengths)
        columns = [column[kept] for column in self[:EVENT_COLUMNS]]
        return LearningBatch(*[*columns, _starts(lengths[kept]), self.context[past], self.kinds[past]])

    @classmethod
    def joined(cls, batches: "list[LearningBatch]") -> "LearningBatch":
        """All events of some batches, at least one, in their order."""
        if len(batches) == 1:
            return batches[0]
        columns = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        columns[EVENT_COLUMNS] = _starts(np.concatenate([np.diff(batch.starts) for batch in batches]))
        return cls(*columns)


EVENT_COLUMNS = 11
"""Columns of LearningBatch with one number an event."""


class Shown(msgspec.Struct, array_like=True, frozen=True):
    """A page that was served to the reader with hash `user` at `at`, seconds since 1970.

    position: of its first post on the feed, from 0. posts: in order. sources: name → places in `posts` that it had.
    outside: as in Impression, of each post two bytes, float16.
    """

    user: int
    at: float
    position: int
    posts: list[int]
    sources: dict[str, list[int]]
    outside: dict[str, bytes] = {}

    @classmethod
    def of(cls, page: Impression) -> "Shown":
        """No name travels."""
        sources: dict[str, list[int]] = {}
        for place, names in enumerate(page.sources):
            for name in names:
                sources.setdefault(name, []).append(place)
        outside = {name: np.array(values, _FEATURE).tobytes() for name, values in (page.outside or {}).items()}
        return cls(user_hash(page.reader), page.served_at, page.position, page.posts, sources, outside)

    def outside_at(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.float16]]:
        """Of the posts at places (k,): name → (k,)."""
        return {name: np.frombuffer(packed, _FEATURE)[places] for name, packed in self.outside.items()}


class LearningMessage(NamedTuple):
    """events: None when there are none. posts: id and row of each that changed, None for one that was deleted. shown:
    pages that were served.

    A row comes without its `item`: models learn from its fields, and the JSON is most of it.
    """

    events: LearningBatch | None
    posts: list[tuple[int, Post | None]]
    shown: Sequence[Shown] = ()


class _Message(msgspec.Struct, array_like=True):
    """columns: those of LearningBatch, little-endian, lengths in place of starts; empty when there are none."""

    columns: list[bytes]
    posts: list[tuple[int, Post | None]]
    shown: list[Shown] = []


_TYPES = ("<i8", "<i8", "<f8", "<i1", "<i4", "<i1", "<f8", "<f8", "?", "<i4", "<f8", "<u1")
"""Of all columns but the last two (_narrowed)."""
_FEATURE = "<f2"
_SOURCE_NAME = re.compile(SOURCE_NAME)
_WIDTHS = {2: "<u2", 4: "<u4", 8: "<i8"}
_encode = msgspec.msgpack.Encoder().encode
_message = msgspec.msgpack.Decoder(_Message)


def encode(message: LearningMessage) -> bytes:
    events = message.events
    posts = [(post_id, post and msgspec.structs.replace(post, item=b"")) for post_id, post in message.posts]
    if events is None:
        return _encode(([], posts, message.shown))
    columns: list[NDArray[np.generic]] = [*events[:EVENT_COLUMNS], np.diff(events.starts)]
    packed = [np.asarray(column, kind).tobytes() for column, kind in zip(columns, _TYPES, strict=True)]
    packed += [_narrowed(events.context), _narrowed(events.kinds)]
    return _encode((packed, posts, message.shown))


@lru_cache(maxsize=1 << 17)
def user_hash(username: str) -> int:
    """63 bits of BLAKE2b; below zero for guests (schemas.guests), so that models, which know no names, keep no vector
    of them. Cached, because it takes 1 µs and users come again."""
    hashed = int.from_bytes(blake2b(username.encode(), digest_size=8).digest(), "little") >> 1
    return ~hashed if is_guest(username) else hashed


def is_guest_hash(user: int) -> bool:
    """Whether a user_hash is that of a guest."""
    return user < 0


def decode(payload: bytes) -> LearningMessage:
    """Raises ContractError for what stage 1 would not have written: the topic is open to whoever can reach Kafka."""
    try:
        message = _message.decode(payload)
        events = _events(message.columns) if message.columns else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
        raise ContractError(f"not a learning event: {error}") from None
    if events is not None and not _is_sound(events):
        raise ContractError("not a learning event: its columns do not fit together")
    if any(not 1 <= post_id <= MOST_ID or (post and post.id != post_id) for post_id, post in message.posts):
        raise ContractError("not a learning event: a row is not that of its post")
    if not all(map(_is_page, message.shown)):
        raise ContractError("not a learning event: a page is none")
    return LearningMessage(events, message.posts, message.shown)


def _is_page(page: Shown) -> bool:
    places = [place for places in page.sources.values() for place in places]
    return (
        0 <= page.at < LATEST
        and 0 <= page.position <= MOST_POSITION
        and 0 < len(page.posts) <= MOST_POSTS
        and all(1 <= post_id <= MOST_ID for post_id in page.posts)
        and all(0 <= place < len(page.posts) for place in places)
        and len(page.outside) <= MOST_OUTSIDE
        and all(_is_outside(name, packed, len(page.posts)) for name, packed in page.outside.items())
    )


def _is_outside(name: str, packed: bytes, posts: int) -> bool:
    whole = len(packed) == 2 * posts and _SOURCE_NAME.fullmatch(name) is not None
    return whole and bool((np.abs(np.frombuffer(packed, _FEATURE)) <= MOST_FEATURE).all())


def _events(packed: list[bytes]) -> LearningBatch:
    """Raises ValueError for another number of columns, or half a number."""
    *packed, context, kinds = packed
    *columns, lengths = [np.frombuffer(*each) for each in zip(packed, _TYPES, strict=True)]
    starts = _starts(lengths)
    past = _widened(context, starts[-1], np.int64), _widened(kinds, starts[-1], np.int32)
    return LearningBatch(*[*columns, starts, *past])


def _narrowed(column: NDArray[np.integer]) -> bytes:
    """With as many bytes a number as the largest needs, of those in _WIDTHS."""
    largest = int(column.max(initial=0))
    return column.astype(_WIDTHS[2 if largest < 1 << 16 else 4 if largest < 1 << 32 else 8]).tobytes()


def _widened(packed: bytes, count: int, kind: type[N]) -> NDArray[N]:
    """The column of `count` numbers. Raises ValueError when their width is none of _WIDTHS."""
    width = _WIDTHS.get(len(packed) // count if count else 2)
    if width is None:
        raise ValueError("a column is cut short")
    return np.frombuffer(packed, width).astype(kind)


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def _is_sound(events: LearningBatch) -> bool:
    count, past = events.size, int(events.starts[-1])
    lengths = [len(column) for column in events]
    whole = lengths == [count] * EVENT_COLUMNS + [count + 1, past, past] and 0 < count <= MOST_EVENTS
    return whole and bool(
        ((events.post_id >= 1) & (events.post_id <= MOST_ID)).all()
        and ((events.at >= 0) & (events.at < LATEST)).all()
        and ((events.type_code >= 0) & (events.type_code < len(INTERACTION_TYPES))).all()
        and (events.value_milli >= 0).all()
        and (np.abs(events.delta) == 1).all()
        and (np.abs(events.weight) < MOST_WEIGHT).all()
        and ((events.gain >= 0) & (events.gain < 2 * MOST_WEIGHT)).all()
        and (events.new.view(np.int8) >> 1 == 0).all()
        and (events.events >= 0).all()
        and ((events.previous_at >= 0) & (events.previous_at < LATEST)).all()
        and (np.diff(events.starts) <= MOST_CONTEXT).all()
        and ((events.context >= 1) & (events.context <= MOST_ID)).all()
        and ((events.kinds & 15 < len(INTERACTION_TYPES)) & (events.kinds >= 0)).all()
    )
