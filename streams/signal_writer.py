"""Collects item signals by destination and makes messages of them."""

from schemas import signals, topics
from schemas.signals import Follow, PostChanged, Signal, SignalBatch, Touch
from schemas.topics import post_owner

from .producing import Outgoing

MOST_SIGNALS = 2_000
"""Of a message: at most 800 KB, as a touch with a full context takes 250 bytes. Brokers take 1 MB by default."""
MOST_BYTES = 500_000
"""Of posts in a message, roughly."""


class SignalWriter:
    """Signals of one source partition. All that one source event tells one partition goes into one message."""

    def __init__(self, generation: str, log: str, topic: str, partition: int, partitions: int) -> None:
        self._source = generation, log, topic, partition
        self._partitions = partitions
        self._pending: list[list[Signal]] = [[] for _ in range(partitions)]
        self._at = [0.0] * partitions
        self._bytes = [0] * partitions
        self.messages: list[Outgoing] = []

    def add_touch(self, touch: Touch, produced_at: float) -> None:
        """The touch of a post, and the follow it means for each post of its context, by their owners."""
        told = split(touch, self._partitions)
        for target in told:
            self._make_room(target, 0, produced_at)
            self._pending[target] += told[target]

    def add_post(self, changed: PostChanged, produced_at: float) -> None:
        target = post_owner(changed.post_id, self._partitions)
        self._make_room(target, len(changed.post.item) if changed.post else 0, produced_at)
        self._pending[target].append(changed)

    def _make_room(self, target: int, size: int, produced_at: float) -> None:
        """Before anything of an event is added: starts a new message when this one is full."""
        full = len(self._pending[target]) >= MOST_SIGNALS or self._bytes[target] + size > MOST_BYTES
        if full and self._pending[target]:
            self._flush(target)
        self._bytes[target] += size
        if not self._pending[target]:
            self._at[target] = produced_at

    def _flush(self, target: int) -> None:
        batch = SignalBatch(*self._source, self._pending[target])
        self.messages.append(Outgoing(topics.ITEM_SIGNALS, target, None, signals.encode(batch), at=self._at[target]))
        self._pending[target], self._bytes[target] = [], 0

    def finish(self) -> list[Outgoing]:
        """All messages, in the order to send them."""
        for target, pending in enumerate(self._pending):
            if pending:
                self._flush(target)
        return self.messages


def split(touch: Touch, partitions: int) -> dict[int, list[Signal]]:
    """What a touch tells each partition: itself to the owner of its post, a follow to those of its context."""
    told: dict[int, list[Signal]] = {post_owner(touch.post_id, partitions): [touch]}
    follows: dict[int, Follow] = {}
    for rank, before in enumerate(touch.context):
        target = post_owner(before, partitions)
        follow = follows.get(target)
        if follow is None:
            follow = follows[target] = Follow(touch.offset, touch.index, touch.post_id, touch.at, touch.gain, [], [])
            told.setdefault(target, []).append(follow)
        follow.rows.append(before)
        follow.ranks.append(rank)
    return told
