"""What sources find: the best posts of each that may be shown, and what it says of any few posts.

No source writes a score of every post and then chooses: what it touches is what its evidence is.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from online_models.packed_vectors import PackedVectors, Vectors, products
from online_models.selection import best_of, scatter, top, walk

Mask = NDArray[np.bool_]
Scores = NDArray[np.float64]
Slots = NDArray[np.int64]
Slots32 = NDArray[np.int32]


class Retrieved(Protocol):
    """logits: scores are logarithms of how likely a post is, but for a constant, and may be negative, −∞ for no
    evidence; otherwise 0 is none, and higher is better."""

    logits: bool

    def best(self, kept: Mask, best: Slots32) -> int:
        """Fills best (depth,) with the slots of the best posts with evidence that may be shown, kept (N,), the best
        first, equals by slot; returns how many there are."""

    def write(self, slots: Slots, places: Slots32, scores: Scores) -> None:
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
        found: int = top(self.row, kept[: len(self.row)], -np.inf if self.logits else 0.0, best)
        return found

    def write(self, slots: Slots, places: Slots32, scores: Scores) -> None:
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
        # Of one kind, as code is compiled for each kind that it meets.
        self.slots, self.scores = np.asarray(slots, np.int32), np.ascontiguousarray(scores, np.float64)
        self.logits = logits

    def best(self, kept: Mask, best: Slots32) -> int:
        found: int = best_of(self.scores, self.slots, kept, -np.inf if self.logits else 0.0, best)
        return found

    def write(self, slots: Slots, places: Slots32, scores: Scores) -> None:
        scores[:] = -np.inf if self.logits else 0.0
        scatter(self.slots, self.scores, places, scores)
        if not self.logits:
            np.maximum(scores, 0.0, out=scores)


class OfVectors:
    """Products of vectors with one of the user (≤ dim,): packed tells which may be the best."""

    def __init__(
        self, packed: PackedVectors, vectors: Vectors, user: NDArray[np.float32], logits: bool = True
    ) -> None:  # fmt: skip
        self.packed, self.vectors, self.logits = packed, vectors, logits
        self.user = np.ascontiguousarray(user, np.float32)
        self._none = -np.inf if logits else 0.0

    def best(self, kept: Mask, best: Slots32) -> int:
        return self.packed.best(self.user, kept, self.vectors, self._none, best)

    def write(self, slots: Slots, places: Slots32, scores: Scores) -> None:
        products(self.vectors, slots, self.user, self._none, scores)
        if not self.logits:
            np.maximum(scores, 0.0, out=scores)


class OfNone:
    """No evidence of any post."""

    logits = False

    def best(self, kept: Mask, best: Slots32) -> int:
        return 0

    def write(self, slots: Slots, places: Slots32, scores: Scores) -> None:
        scores[:] = 0.0


_NOTHING = OfNone()


def nothing() -> OfNone:
    """What a source without its model retrieves: the same each time, as a feed asks six such sources."""
    return _NOTHING
