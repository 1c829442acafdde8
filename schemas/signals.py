"""Item signals: what stage 1 tells stage 2 (topic `item-signals`, internal, msgpack).

One message carries the signals of a run of events of one source partition to one partition of posts. All signals of
one source event to one partition travel in one message, so that stage 2 applies or drops them together.
"""

import msgspec

from .posts import Post


class Touch(msgspec.Struct, array_like=True, tag="t", gc=False):
    """A user interacted with `post_id`.

    delta: +1, or -1 for a take-back. weight: signed strength (schemas.events.strength).
    gain: by how much this raises the user's strength for the post; 0 teaches co-visitation nothing.
    context: the user's posts before this one, newest first.
    """

    offset: int
    index: int
    post_id: int
    at: float
    type_code: int
    delta: int
    weight: float
    gain: float
    context: list[int]


class Follow(msgspec.Struct, array_like=True, tag="f", gc=False):
    """`post_id` came after each of `rows` in a user's history; `ranks[k]` is how many posts lie between."""

    offset: int
    index: int
    post_id: int
    at: float
    gain: float
    rows: list[int]
    ranks: list[int]


class PostChanged(msgspec.Struct, array_like=True, tag="p"):
    """A new row of the post; None deletes it."""

    offset: int
    index: int
    post_id: int
    post: Post | None


Signal = Touch | Follow | PostChanged


class SignalBatch(msgspec.Struct, array_like=True):
    """The value of one message. log, topic, partition: where the source events were read (schemas.marks).

    generation: of the state that stage 1 built on; stage 2 drops what was told on the ground of another.
    """

    generation: str
    log: str
    topic: str
    partition: int
    signals: list[Signal]


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(SignalBatch).decode
