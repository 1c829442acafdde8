"""Item signals: what stage 1 tells stage 2 (topic `item-signals`, internal, msgpack).

One message carries what a run of events of one source partition tells one partition of posts, in columns: an event has
up to 30 pairs of posts, and a struct for each cost more than learning them. All that one source event tells one
partition travels in one message, so that stage 2 applies or drops it as a whole.
"""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import ContractError
from .events import INTERACTION_TYPES, LATEST, MOST_WEIGHT
from .posts import Post

MOST_RANKS = 64
"""Posts of a user's past that an event can be related to."""


class Touches(NamedTuple):
    """Users came to posts. n events, t of them with posts of this partition, p pairs of posts of which one is.

    offset, entry (n,): place of each event in its source, and in the array of its message. post_id (n,).
    at (n,): event time, seconds since 1970.
    gain (n,): by how much it raises the user's strength for the post, ≥ 0.
    touched (t,): which events have a post of this partition; type_code, delta (+1, or −1 for a take-back) and weight
    (signed strength, schemas.events.strength) of those.
    event (p,): which event came after the post `other` (p,) in its user's history. rank (p,): with q posts between, q
    when `other` belongs to this partition, −1 − q when the post of the event does.
    """

    offset: NDArray[np.int64]
    entry: NDArray[np.int32]
    post_id: NDArray[np.int64]
    at: NDArray[np.float64]
    gain: NDArray[np.float64]
    touched: NDArray[np.int32]
    type_code: NDArray[np.int8]
    delta: NDArray[np.int8]
    weight: NDArray[np.float64]
    event: NDArray[np.int32]
    other: NDArray[np.int64]
    rank: NDArray[np.int8]

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each pair (p,), the post of this partition, whose row changes, and its neighbour."""
        own_is_before, post = self.rank >= 0, self.post_id[self.event]
        return np.where(own_is_before, self.other, post), np.where(own_is_before, post, self.other)

    def after(self, offset: int, entry: int) -> "Touches":
        """Those of events past a place of the source."""
        new = (self.offset > offset) | ((self.offset == offset) & (self.entry > entry))
        numbers = np.cumsum(new, dtype=np.int32) - 1
        touched, pairs = new[self.touched], new[self.event]
        return Touches(
            offset=self.offset[new], entry=self.entry[new], post_id=self.post_id[new], at=self.at[new],
            gain=self.gain[new], touched=numbers[self.touched[touched]], type_code=self.type_code[touched],
            delta=self.delta[touched], weight=self.weight[touched], event=numbers[self.event[pairs]],
            other=self.other[pairs], rank=self.rank[pairs],
        )  # fmt: skip


class PostChanged(msgspec.Struct, array_like=True):
    """A new row of the post; None deletes it. offset, index: its place in the source."""

    offset: int
    index: int
    post_id: int
    post: Post | None


class SignalBatch(NamedTuple):
    """One message. log, topic, partition: where the source events were read (schemas.marks).

    generation: of the state that stage 1 built on; stage 2 drops what was told on the ground of another.
    """

    generation: str
    log: str
    topic: str
    partition: int
    touches: Touches | None
    posts: list[PostChanged]


class _Message(msgspec.Struct, array_like=True):
    """columns: those of Touches, little-endian; empty when there are none."""

    generation: str
    log: str
    topic: str
    partition: int
    columns: list[bytes]
    posts: list[PostChanged]


_TYPES = ("<i8", "<i4", "<i8", "<f8", "<f8", "<i4", "<i1", "<i1", "<f8", "<i4", "<i8", "<i1")
_encode = msgspec.msgpack.Encoder().encode
_message = msgspec.msgpack.Decoder(_Message)


def encode(batch: SignalBatch) -> bytes:
    *source, touches, posts = batch
    columns = zip(touches or (), _TYPES, strict=touches is not None)
    return _encode((*source, [np.asarray(column, kind).tobytes() for column, kind in columns], posts))


def decode(payload: bytes) -> SignalBatch:
    """Raises ContractError for what stage 1 would not have written: the topic is open to whoever can reach Kafka."""
    try:
        message = _message.decode(payload)
        columns = [np.frombuffer(*each) for each in zip(message.columns, _TYPES, strict=bool(message.columns))]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ContractError(f"not an item signal: {error}") from None
    touches = Touches(*columns) if columns else None
    if touches is not None and not _is_sound(touches):
        raise ContractError("not an item signal: its columns do not fit together")
    return SignalBatch(message.generation, message.log, message.topic, message.partition, touches, message.posts)


def _is_sound(touches: Touches) -> bool:
    lengths = [len(column) for column in touches]
    events = lengths[0]
    whole = lengths == [events] * 5 + [lengths[5]] * 4 + [lengths[9]] * 3 and events > 0
    return whole and bool(
        (touches.post_id >= 1).all()
        and (touches.other >= 1).all()
        and ((touches.at >= 0) & (touches.at < LATEST)).all()
        and ((touches.gain >= 0) & (touches.gain < MOST_WEIGHT)).all()
        and (np.abs(touches.weight) < MOST_WEIGHT).all()
        and ((touches.touched >= 0) & (touches.touched < events)).all()
        and ((touches.event >= 0) & (touches.event < events)).all()
        and ((touches.type_code >= 0) & (touches.type_code < len(INTERACTION_TYPES))).all()
        and ((touches.rank >= -MOST_RANKS) & (touches.rank < MOST_RANKS)).all()
    )
