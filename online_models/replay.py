"""The last events, for factor models to draw negatives from and to learn once more: one ring for all of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    def add(self, post: int, past: NDArray[np.int32], user: int) -> None:
        """A user came to a post after `past`; without a past there is nothing to learn from it."""
        if not len(past):
            return
        count = int(self.count[0])
        place, again, length = count % DRAWN, count % REPLAYED, min(len(past), LENGTH)
        if count >= DRAWN:
            self.drawn[self.posts[place]] -= 1
        self.posts[place] = post
        self.drawn[post] += 1
        self.pasts[again, :length], self.lengths[again], self.users[again] = past[:length], length, user
        self.count[0] = count + 1

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps: not the pasts, which are most of it and soon replaced."""
        return {"posts": self.posts.copy(), "count": self.count.copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over; what is replayed begins anew, as events without a past teach nothing."""
        self.posts[:], self.count[:] = state["posts"], state["count"]
        self.drawn[:] = np.bincount(self.posts[: min(int(self.count[0]), DRAWN)], minlength=len(self.drawn))
        self.lengths[:] = 0
