"""Collects what events tell the posts, and splits it by the partition that owns each post."""

from array import array
from collections.abc import Iterator

import numpy as np

from online_models.user_history import Effect
from schemas import signals, topics
from schemas.signals import SignalBatch, Touches

from .post_owners import post_owners
from .producing import Outgoing, signals_at

MOST_EVENTS = 1_500
"""Of a message: at most 600 KB, as an event has 30 pairs of 13 bytes. Brokers take 1 MB by default."""


class TouchWriter:
    """Events of one source partition, in the order of the log."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._events: list[tuple[int, int, int, float, float, int, int, float]] = []
        self._context: list[int] = []
        self._lengths: list[int] = []

    def add(self, offset: int, entry: int, post_id: int, at: float, type_code: int, effect: Effect) -> None:
        delta, weight, gain, context = effect
        self._events.append((offset, entry, post_id, at, gain, type_code, delta, weight))
        self._context += context
        self._lengths.append(len(context))

    def split(self) -> Iterator[tuple[int, Touches]]:
        """Partition and what it is told, for each that is told anything; begins anew afterwards.

        An event touches its post; and for each post of its context, the owners of both learn that one followed the
        other.
        """
        if not self._events:
            return
        columns = list(zip(*self._events, strict=True))
        offset, entry = np.array(columns[0], np.int64), np.array(columns[1], np.int32)
        post_id, at, gain = np.array(columns[2], np.int64), np.array(columns[3]), np.array(columns[4])
        type_code, delta = np.array(columns[5], np.int8), np.array(columns[6], np.int8)
        weight = np.array(columns[7], np.float64)
        lengths, other = np.array(self._lengths), np.asarray(array("q", self._context))
        event = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        rank = (np.arange(len(other)) - np.repeat(np.cumsum(lengths) - lengths, lengths)).astype(np.int8)
        home, home_of_other = post_owners(post_id, self._partitions), post_owners(other, self._partitions)
        home_of_event = home[event]
        self._events, self._context, self._lengths = [], [], []
        for target in range(self._partitions):
            touched = np.flatnonzero(home == target).astype(np.int32)
            after, before = np.flatnonzero(home_of_other == target), np.flatnonzero(home_of_event == target)
            if not len(touched) and not len(after):
                continue
            pairs = np.concatenate([after, before])
            yield target, Touches(
                offset=offset, entry=entry, post_id=post_id, at=at, gain=gain, touched=touched,
                type_code=type_code[touched], delta=delta[touched], weight=weight[touched], event=event[pairs],
                other=other[pairs], rank=np.concatenate([rank[after], -1 - rank[before]]),
            )  # fmt: skip


def touch_messages(writer: TouchWriter, source: tuple[str, str, str, int], at: float) -> Iterator[Outgoing]:
    """The messages for all that was collected. source: generation, log, topic and partition; at: when the oldest
    message that they come from was produced."""
    for target, touches in writer.split():
        value = signals.encode(SignalBatch(*source, touches, []))
        yield Outgoing(topics.ITEM_SIGNALS, target, None, value, at=signals_at(at))
