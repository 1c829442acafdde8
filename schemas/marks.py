"""Marks: how far a partition of a log has been applied to Redis, kept in the transaction that applied it.

A mark belongs to a log: `log` is the id that the broker gave the topic when it was created. A topic that was emptied
and made again has another id, so its low offsets are not taken for repeats. And it belongs to a generation of the
state (schemas.generation): the mark of another generation counts as none.
"""

from typing import TypeVar

import msgspec

from . import keys


class Mark(msgspec.Struct, array_like=True):
    """generation, log: see above. offset: the last applied; -1: nothing yet."""

    generation: str = ""
    log: str = ""
    offset: int = -1

    def applied(self, log: str) -> int:
        """The last offset of that log whose effects are in the state; -1 for a log that is new."""
        return self.offset if self.log == log else -1


class RowsMark(Mark, array_like=True):
    """One a partition of `posts` and of `users`."""


class InteractionsMark(Mark, array_like=True):
    """Stage 1, one a partition of `interactions`.

    block: where the next event id goes (online_models.event_ids).
    built: up to this offset the partition's own events came into the state from the record, when it was rebuilt. Those
    that were to be sent on may lie after `offset` all the same.
    """

    block: int = 0
    built: int = -1


class Applied(msgspec.Struct, array_like=True, frozen=True):
    """The last event of one source partition whose signals are applied."""

    log: str
    offset: int
    index: int


class ItemsMark(Mark, array_like=True):
    """Stage 2, one a partition of `item-signals`. sources: `topic-partition` → last applied."""

    sources: dict[str, Applied] = msgspec.field(default_factory=dict)


M = TypeVar("M", bound=Mark)

encode = msgspec.msgpack.Encoder().encode


def decode(payload: bytes | None, kind: type[M]) -> M:
    """None or empty: nothing was ever applied."""
    return msgspec.msgpack.decode(payload, type=kind) if payload else kind()


def all_keys(partitions: int) -> dict[str, type[Mark]]:
    """The keys of all marks of a system, and what each holds."""
    of_partition = (
        (keys.interactions_mark, InteractionsMark), (keys.posts_mark, RowsMark), (keys.users_mark, RowsMark),
        (keys.items_mark, ItemsMark),
    )  # fmt: skip
    return {key(partition): kind for partition in range(partitions) for key, kind in of_partition}
