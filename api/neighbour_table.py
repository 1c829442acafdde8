"""Neighbours of posts by co-visitation, in rows of one length, of those posts that have any."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 128
"""Neighbours kept of a post, the strongest first: all that there are (online_models.co_visitation), 1.5 KB a post. With
64, what the learner knows as weak evidence was none here: ½ ln of the score was off by .21 on average, now by .03."""


class NeighbourTable:
    """rows (N,): which row is that of a slot, −1 for none: most posts of a large catalogue have met nobody.

    slots (R, NEIGHBOURS): padded with −1; weights beside it, strongest first; of both, the first counts (R,) mean
    something. Arrays are longer than there are rows.
    """

    def __init__(self, capacity: int) -> None:
        self.rows = np.full(capacity, -1, np.int32)
        self.slots = np.full((0, NEIGHBOURS), -1, np.int32)
        self.weights = np.zeros((0, NEIGHBOURS))
        self.counts = np.zeros(0, np.int32)
        self._used = 0

    def put(
        self, slots: Sequence[int], near: Sequence[int], weights: NDArray[np.float64], counts: NDArray[np.int64]
    ) -> None:  # fmt: skip
        """Neighbours of distinct slots, in the place of what these had: counts (n,), at most NEIGHBOURS of each, and
        one after the other their slots and weights, strongest first."""
        at = np.array(slots)
        rows = self.rows[at]
        new = (rows < 0) & (counts > 0)
        used = self._used + int(np.count_nonzero(new))
        if used > len(self.counts):
            self.reserve(max(256, used, len(self.counts) * 3 // 2))
        rows[new] = np.arange(self._used, used, dtype=np.int32)
        self.rows[at], self._used = rows, used
        rows, counts = rows[rows >= 0], counts[rows >= 0]  # a post without a row has no neighbours to be told
        there = np.arange(NEIGHBOURS) < counts[:, None]
        of_slots, of_weights = np.full(there.shape, -1, np.int32), np.zeros(there.shape)
        of_slots[there], of_weights[there] = near, weights
        self.slots[rows], self.weights[rows], self.counts[rows] = of_slots, of_weights, counts

    def of(self, slot: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Slots (k,) and their weights, strongest first."""
        row = int(self.rows[slot])
        if row < 0:
            return self.slots[:0, 0], self.weights[:0, 0]
        count = int(self.counts[row])
        return self.slots[row, :count], self.weights[row, :count]

    def make_room(self, capacity: int) -> None:
        """For slots up to a capacity."""
        self.rows = np.append(self.rows, np.full(capacity - len(self.rows), -1, np.int32))

    def reserve(self, room: int) -> None:
        """For so many rows, more than there are. Nothing is written, and so takes no memory, before it is needed."""
        slots, weights, counts = (
            np.empty((room, NEIGHBOURS), np.int32),
            np.empty((room, NEIGHBOURS)),
            np.empty(room, np.int32),
        )
        slots[: self._used], weights[: self._used] = self.slots[: self._used], self.weights[: self._used]
        counts[: self._used] = self.counts[: self._used]
        self.slots, self.weights, self.counts = slots, weights, counts
