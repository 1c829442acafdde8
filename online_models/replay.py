"""The last events, for factor models to draw negatives from and to learn once more: one ring for all of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .past_table import LENGTH

DRAWN = 50_000
"""Events that negatives are drawn from."""
REPLAYED = 20_000
"""Events that are learnt again, with their users' pasts: 16 MB."""


class Replay:
    """posts (DRAWN,): slots of what users came to. drawn (capacity,): how often each is among them. count (1,): events
    ever; the newest is in place (count − 1) % DRAWN, and its past and user in (count − 1) % REPLAYED.

    pasts (REPLAYED, LENGTH) of which lengths (REPLAYED,) count, newest first; users (REPLAYED,): −1 for none.
    """

    def __init__(self, capacity: int) -> None:
        self.posts, self.drawn = np.zeros(DRAWN, np.int32), np.zeros(capacity, np.int32)
        self.pasts, self.lengths = np.zeros((REPLAYED, LENGTH), np.int32), np.zeros(REPLAYED, np.int32)
        self.users = np.full(REPLAYED, -1, np.int32)
        self.count = np.zeros(1, np.int64)

    def add(
        self, posts: NDArray[np.int32], pasts: NDArray[np.int32], lengths: NDArray[np.int32], users: NDArray[np.int32]
    ) -> None:
        """Users (B,) came to posts (B,) after pasts (B, LENGTH), of which lengths (B,) count; without a past there is
        nothing to learn from an event."""
        _add(
            self.posts, self.drawn, self.pasts, self.lengths, self.users, self.count, posts, pasts, lengths, users
        )  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps: not the pasts, which are most of it and soon replaced."""
        return {"posts": self.posts.copy(), "count": self.count.copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over; what is replayed begins anew, as events without a past teach nothing."""
        self.posts[:], self.count[:] = state["posts"], state["count"]
        self.drawn[:] = np.bincount(self.posts[: min(int(self.count[0]), DRAWN)], minlength=len(self.drawn))
        self.lengths[:] = 0


class Events:
    """At most `most` events on their way to a ring, in arrays that are used again."""

    def __init__(self, most: int) -> None:
        self._posts, self._users = np.zeros(most, np.int32), np.zeros(most, np.int32)
        self._pasts, self._lengths = np.zeros((most, LENGTH), np.int32), np.zeros(most, np.int32)
        self.count = 0

    @property
    def full(self) -> bool:
        return self.count == len(self._posts)

    def add(self, post: int, past: NDArray[np.int32], user: int) -> None:
        """A user came to a post after `past` (q,), newest first, of which LENGTH are kept."""
        at, length = self.count, min(len(past), LENGTH)
        self._posts[at], self._users[at], self._lengths[at] = post, user, length
        self._pasts[at, :length] = past[:length]
        self.count = at + 1

    def take(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """posts, pasts, lengths and users, as Replay.add takes them: views, until the next is added."""
        count, self.count = self.count, 0
        return self._posts[:count], self._pasts[:count], self._lengths[:count], self._users[:count]


@compiled
def _add(
    posts: Any, drawn: Any, pasts: Any, lengths: Any, users: Any, count: Any, new_posts: Any, new_pasts: Any,
    new_lengths: Any, new_users: Any,
) -> None:  # fmt: skip
    for event in range(len(new_posts)):
        if new_lengths[event] == 0:
            continue
        place, again, length = count[0] % len(posts), count[0] % len(pasts), new_lengths[event]
        if count[0] >= len(posts):
            drawn[posts[place]] -= 1
        posts[place] = new_posts[event]
        drawn[posts[place]] += 1
        for at in range(length):
            pasts[again, at] = new_pasts[event, at]
        lengths[again], users[again] = length, new_users[event]
        count[0] += 1
