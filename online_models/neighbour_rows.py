"""Rows of neighbours in slabs, learnt by compiled code: one row a post, an array of ids beside one of weights.

A dict of dicts took 19 µs an event with 30 pairs of posts, half of that for cutting full rows, and 12 KB a row of 100;
this takes 2 µs and 2 KB. Double precision: single would hold the weights of 2023 to 2039 only, and lose the order
independence of sums of thousands. The price is numba: each process that imports it waits 0.2 s and takes 65 MB.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .places import Places


class NeighbourRows:
    """Each row keeps at most `keep + slack` neighbours: when another comes, the weakest `slack` are forgotten.

    places: which row belongs to which post. neighbours (R, keep + slack) and weights, likewise, of which the first
    counts (R,) of a row mean something, in the order in which they came. posts (R,): whose a row is. changed (R,): set
    for rows that were added to, cleared by who reads it.
    """

    def __init__(self, keep: int, slack: int) -> None:
        self.keep = keep
        self.places = Places()
        size = self.places.size
        self.neighbours = np.zeros((size, keep + slack), np.int64)
        self.weights = np.zeros((size, keep + slack))
        self.counts = np.zeros(size, np.int32)
        self.posts = np.zeros(size, np.int64)
        self.changed = np.zeros(size, np.bool_)

    def add(self, post_ids: NDArray[np.int64], neighbour_ids: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """Adds weights (p,), ≥ 0, to neighbours (p,) of posts (p,), in that order."""
        rows = self.places.find(post_ids)
        if (rows < 0).any():
            for post_id in self.strangers(post_ids):
                self._take(post_id)
            rows = self.places.find(post_ids)
        _add(self.neighbours, self.weights, self.counts, self.changed, rows, neighbour_ids, weights, self.keep)

    def strangers(self, post_ids: NDArray[np.int64]) -> list[int]:
        """Those posts that have no row, each once."""
        found: list[int] = np.unique(post_ids[self.places.find(post_ids) < 0]).tolist()
        return found

    def changed_posts(self) -> list[int]:
        """The posts whose rows were added to since `changed` was cleared."""
        found: list[int] = self.posts[np.flatnonzero(self.changed)].tolist()
        return found

    def row(self, post_id: int) -> dict[int, float]:
        """Neighbours of a post and their weights; empty for a stranger."""
        if (row := self.places.rows.get(post_id)) is None:
            return {}
        count = self.counts[row]
        return dict(zip(self.neighbours[row, :count].tolist(), self.weights[row, :count].tolist(), strict=True))

    def load(self, post_id: int, ids: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """Puts a row of at most keep + slack neighbours in the place of what a post has."""
        row = self._take(post_id)
        self.counts[row] = count = len(ids)
        self.neighbours[row, :count] = ids
        self.weights[row, :count] = weights

    def forget(self, post_id: int) -> None:
        """Gives the row of a post away; nothing for a stranger."""
        if (row := self.places.give_back(post_id)) is not None:
            self.counts[row], self.changed[row] = 0, False

    def _take(self, post_id: int) -> int:
        row = self.places.take(post_id)
        if row >= len(self.counts):
            self.neighbours, self.weights = _doubled(self.neighbours), _doubled(self.weights)
            self.counts, self.posts, self.changed = (
                _doubled(self.counts), _doubled(self.posts), _doubled(self.changed)
            )  # fmt: skip
        self.posts[row] = post_id
        return row


def _doubled(column: NDArray[Any]) -> NDArray[Any]:
    """Zeros, as pages of those take no memory until they are written to."""
    longer = np.zeros((2 * len(column), *column.shape[1:]), column.dtype)
    longer[: len(column)] = column
    return longer


@compiled
def _add(
    neighbours: NDArray[np.int64], weights: NDArray[np.float64], counts: NDArray[np.int32], changed: NDArray[np.bool_],
    rows: NDArray[np.int32], added: NDArray[np.int64], gains: NDArray[np.float64], keep: int,
) -> None:  # fmt: skip
    width = neighbours.shape[1]
    for pair in range(len(rows)):
        row, sought = rows[pair], added[pair]
        ids, count = neighbours[row], counts[row]
        changed[row] = True
        found = -1
        for at in range(count):  # no break: so it takes several at a time
            found += (ids[at] == sought) * (at + 1)
        if found >= 0:
            weights[row, found] += gains[pair]
            continue
        if count == width:
            count = _cut(ids, weights[row], keep)
        ids[count] = sought
        weights[row, count] = gains[pair]
        counts[row] = count + 1


@compiled
def _cut(ids: NDArray[np.int64], weights: NDArray[np.float64], keep: int) -> int:
    """Forgets the weakest of a full row, the first of equals first; returns how many stay.

    The limit is found by bisection over the bits of the weights, whose order is that of the weights as none is
    negative: .3 µs, as counting what lies below takes no branches. A partial sort took 2.
    """
    bits = weights.view(np.int64)
    excess = len(ids) - keep
    low, high = bits.min(), bits.max() + 1
    below = 0  # how many lie below `low`, always fewer than `excess`
    while high - low > 1:
        middle = low + (high - low) // 2
        smaller = 0
        for at in range(len(bits)):
            smaller += bits[at] < middle
        if smaller <= excess:
            low, below = middle, smaller
        else:
            high = middle
        if smaller == excess:
            break
    equals = excess - below
    kept = 0
    for at in range(len(ids)):
        if bits[at] < low:
            continue
        if bits[at] == low and equals > 0:
            equals -= 1
            continue
        ids[kept], weights[kept] = ids[at], weights[at]
        kept += 1
    return kept
