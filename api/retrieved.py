"""What sources find: the best posts of each that may be shown, and what it says of any few posts.

No source writes a score of every post and then chooses: what it touches is what its evidence is.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from online_models.packed_vectors import PackedVectors, products
from online_models.selection import ranked, scatter, top, walk

Mask = NDArray[np.bool_]
Scores = NDArray[np.float64]
Slots32 = NDArray[np.int32]


class Retrieved(Protocol):
    """logits: scores are logarithms of how likely a post is, but for a constant, and may be negative, −∞ for no
    evidence; otherwise 0 is none, and higher is better."""

    logits: bool

    def best(self, kept: Mask, best: Slots32) -> int:
        """Fills best (depth,) with the slots of the best posts with evidence that may be shown, kept (N,), the best
        first, equals by slot; returns how many there are."""

    def write(self, slots: Slots32, places: Slots32, scores: Scores) -> None:
        """Fills scores (n,) of slots (n,); places (N,): where among them a slot is, −1 for those that are not."""


class OfAll:
    """A score of every post (N,). firsts (m,): the best of all posts with evidence, best first and −1 behind the last,
    where that is known; it saves looking at all where m is enough for as many that may be shown."""

    def __init__(self, row: NDArray[np.floating], logits: bool = False, firsts: Slots32 | None = None) -> None:
        self.row, self.logits, self.firsts = row, logits, firsts

    def best(self, kept: Mask, best: Slots32) -> int:
        if self.firsts is not None:
            count: int = walk(self.firsts, kept, best)
            if count >= 0:
                return count
        return top(self.row, kept[: len(self.row)], -np.inf if self.logits else 0.0, best)

    def write(self, slots: Slots32, places: Slots32, scores: Scores) -> None:
        scores[:] = self.row[slots]
        if not self.logits:
            np.maximum(scores, 0.0, out=scores)

    def reach(self, size: int) -> None:
        """Makes a row of at least so many posts of it; there is no evidence of those that came since."""
        if (missing := size - len(self.row)) > 0:
            none = np.full(missing, -np.inf if self.logits else 0.0, self.row.dtype)
            self.row = np.concatenate([self.row, none])


class OfFew:
    """Scores (n,) of slots (n,), distinct; no evidence of any other."""

    def __init__(self, slots: NDArray[np.integer], scores: NDArray[np.floating], logits: bool = False) -> None:
        self.slots, self.scores, self.logits = slots, scores, logits

    def best(self, kept: Mask, best: Slots32) -> int:
        may = kept[self.slots]
        return ranked(self.scores[may], self.slots[may], -np.inf if self.logits else 0.0, best)

    def write(self, slots: Slots32, places: Slots32, scores: Scores) -> None:
        scores[:] = -np.inf if self.logits else 0.0
        scatter(self.slots, self.scores, places, scores)


class OfVectors:
    """Vectors (n, ≥ dim) · user (dim,) + offsets (n,), rows (≥ N,) being those of slots, −1 for none: packed tells
    which may be the best, and those are multiplied as they are."""

    def __init__(
        self, packed: PackedVectors, vectors: NDArray[np.float32], rows: NDArray[np.integer], user: NDArray[np.float32],
        offsets: NDArray[np.float32] | None = None, logits: bool = True,
    ) -> None:  # fmt: skip
        self.packed, self.vectors, self.rows, self.user, self.offsets = packed, vectors, rows, user, offsets
        self.logits = logits
        self._none = -np.inf if logits else 0.0

    def best(self, kept: Mask, best: Slots32) -> int:
        slots = self.packed.likely(self.user, kept, len(best))
        return ranked(self._scores(slots), slots, self._none, best)

    def write(self, slots: Slots32, places: Slots32, scores: Scores) -> None:
        scores[:] = self._scores(slots)

    def _scores(self, slots: Slots32) -> Scores:
        scores = products(self.vectors, self.offsets, self.rows[slots], self.user, self._none)
        return scores if self.logits else np.maximum(scores, 0.0)


def nothing() -> OfFew:
    """What a source without its model retrieves."""
    return OfFew(np.empty(0, np.int32), np.empty(0))
