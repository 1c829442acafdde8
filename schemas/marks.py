"""Marks: how far a partition of a log has been applied, kept in the transaction that applied it.

A mark belongs to a log: `log` is the id that the broker gave the topic when it was created. A topic that was emptied
and made again has another id, so its low offsets are not taken for repeats.
"""

import msgspec


class InteractionsMark(msgspec.Struct, array_like=True):
    """Stage 1, one a partition of `interactions`.

    offset: the last applied. block: where the next seen event id goes (online_models.event_ids).
    """

    log: str = ""
    offset: int = -1
    block: int = 0


class Applied(msgspec.Struct, array_like=True, frozen=True):
    """The last event of one source partition whose signals are applied."""

    log: str
    offset: int
    index: int


class ItemsMark(msgspec.Struct, array_like=True):
    """Stage 2, one a partition of `item-signals`. sources: `topic-partition` → last applied."""

    log: str = ""
    offset: int = -1
    sources: dict[str, Applied] = msgspec.field(default_factory=dict)


encode = msgspec.msgpack.Encoder().encode
_interactions_mark = msgspec.msgpack.Decoder(InteractionsMark)
_items_mark = msgspec.msgpack.Decoder(ItemsMark)


def decode_interactions_mark(payload: bytes | None) -> InteractionsMark:
    return _interactions_mark.decode(payload) if payload else InteractionsMark()


def decode_items_mark(payload: bytes | None) -> ItemsMark:
    return _items_mark.decode(payload) if payload else ItemsMark()
