"""Collects item signals by destination and makes messages of them."""

from schemas import signals, topics
from schemas.signals import Follow, PostChanged, Signal, SignalBatch, Touch
from schemas.topics import post_owner

from .producing import Outgoing

MOST_BYTES = 500_000
"""Of a message, roughly: half of what brokers take by default."""


class SignalWriter:
    """Signals of one source partition. All that one source event tells one partition goes into one message."""

    def __init__(self, log: str, topic: str, partition: int, partitions: int) -> None:
        self._log, self._topic, self._partition, self._partitions = log, topic, partition, partitions
        self._pending: dict[int, list[Signal]] = {}
        self._sizes: dict[int, int] = {}
        self._at: dict[int, float] = {}
        self.messages: list[Outgoing] = []

    def add_touch(self, touch: Touch, produced_at: float) -> None:
        """The touch of a post, and the follow it means for each post of its context, by their owners."""
        partitions = self._partitions
        event: dict[int, list[Signal]] = {post_owner(touch.post_id, partitions): [touch]}
        if touch.gain > 0:
            follows: dict[int, Follow] = {}
            for rank, before in enumerate(touch.context):
                target = post_owner(before, partitions)
                follow = follows.get(target)
                if follow is None:
                    follow = follows[target] = Follow(
                        touch.offset, touch.index, touch.post_id, touch.at, touch.gain, [], []
                    )
                    event.setdefault(target, []).append(follow)
                follow.rows.append(before)
                follow.ranks.append(rank)
        for target, told in event.items():
            self._add(target, told, 400 * len(told), produced_at)

    def add_post(self, changed: PostChanged, produced_at: float) -> None:
        size = 300 + (len(changed.post.item) if changed.post else 0)
        self._add(post_owner(changed.post_id, self._partitions), [changed], size, produced_at)

    def _add(self, target: int, told: list[Signal], size: int, produced_at: float) -> None:
        if self._sizes.get(target, 0) + size > MOST_BYTES:
            self._flush(target)
        self._pending.setdefault(target, []).extend(told)
        self._sizes[target] = self._sizes.get(target, 0) + size
        self._at.setdefault(target, produced_at)

    def _flush(self, target: int) -> None:
        batch = SignalBatch(self._log, self._topic, self._partition, self._pending.pop(target))
        self.messages.append(
            Outgoing(topics.ITEM_SIGNALS, target, None, signals.encode(batch), at=self._at.pop(target))
        )
        self._sizes[target] = 0

    def finish(self) -> list[Outgoing]:
        """All messages, in the order to send them."""
        for target in list(self._pending):
            self._flush(target)
        return self.messages
