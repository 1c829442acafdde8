"""Directed transitions: what users go to right after a post, a Markov chain with decay over the last five.

When a user whose last posts are h_0 (newest), h_1, … comes to post b,

    T[h_q, b] += 1 / (q + 1)        n_hq += 1 / (q + 1)        score(j) = Σ_q 1 / (q + 1) · T[h_q, j] / (n_hq + 20)

The idea is that of vector-multiplication session kNN (Serenade, SIGMOD 2022): the order within the last few events
says what comes next, for a guest as well. Sums decay forward as those of co-visitation do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from .co_visitation import KEEP, SLACK, growth
from .compiled import compiled
from .neighbour_rows import NeighbourRows
from .post_columns import Rows

PAST = 5
SHRINK = 20.0


class Transitions(base.Base):  # type: ignore[misc]
    """Rows of followers, one a post.

    Examples
    --------
    >>> model = Transitions()
    >>> model.learn_one(2, context=[1], at=0.0)
    >>> model.rank([1], at=0.0), model.rank([2], at=0.0)
    ([2], [])
    """

    def __init__(self, keep: int = KEEP) -> None:
        self.keep = keep
        self.rows = NeighbourRows(keep, SLACK)
        self._left: dict[int, float] = {}

    def learn_one(self, post_id: int, context: Sequence[int], at: float) -> None:
        """A user came to a post after `context` (newest first), at event time `at` in seconds."""
        self.learn_slots(post_id, np.array(context, np.int32), growth(at))

    def learn_slots(self, post: int, past: NDArray[np.int32], grown: float) -> None:
        before = past[past != post][:PAST].astype(np.int64)
        weights = grown * _STEPS[: len(before)]
        self.rows.add(before, np.full(len(before), post, np.int64), weights)
        for slot, weight in zip(before.tolist(), weights.tolist(), strict=True):
            self._left[slot] = self._left.get(slot, 0.0) + weight

    def rank(self, context: Sequence[int], at: float) -> list[int]:
        """All posts with any evidence, best first."""
        scores: dict[int, float] = {}
        scale = 1.0 / growth(at)
        for step, before in zip(_STEPS.tolist(), context, strict=False):
            norm = self._left.get(before, 0.0) * scale + SHRINK
            for post_id, weight in self.rows.row(before).items():
                scores[post_id] = scores.get(post_id, 0.0) + step * weight * scale / norm
        return sorted(scores, key=lambda post_id: (-scores[post_id], post_id))

    def score(self, past: NDArray[np.int32], scale: float, scores: NDArray[np.float32]) -> None:
        """Fills scores (N,) of slots."""
        last = past[:PAST].astype(np.int64)
        rows = self.rows
        found = Rows(rows.neighbours, rows.weights, rows.counts, rows.places.find(last))
        follow(found, self.left(past[:PAST]), scale, scores)

    def strongest(self, slots: NDArray[np.int32], most: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Followers (n, most) of posts in slots (n,), strongest first, −1 for none, and their weights (n, most)."""
        followers, weights = np.full((len(slots), most), -1, np.int64), np.zeros((len(slots), most))
        rows, places = self.rows, self.rows.places.find(slots.astype(np.int64))
        _strongest(places, rows.neighbours, rows.weights, rows.counts, followers, weights)
        return followers, weights

    def left(self, slots: NDArray[np.int32]) -> NDArray[np.float64]:
        """How often users went on from posts in slots (n,), forward-decayed."""
        return np.array([self._left.get(slot, 0.0) for slot in slots.tolist()])

    def forget(self, post: int) -> None:
        """Drops the row of a post."""
        self.rows.forget(post)
        self._left.pop(post, None)

    def state(self, size: int) -> NDArray[np.float64]:
        """How often users went on from each of the first slots."""
        return np.array([self._left.get(slot, 0.0) for slot in range(size)])

    def load(self, left: NDArray[np.float64]) -> None:
        self._left = {slot: value for slot, value in enumerate(left.tolist()) if value}


_STEPS = 1.0 / np.arange(1, PAST + 1)


def follow(rows: Rows, left: NDArray[np.float64], scale: float, scores: NDArray[np.floating]) -> None:
    """Fills scores (N,) of slots, −1 in a row being none. left (q,): n of the user's last posts, at most PAST."""
    scores[:] = 0.0
    _touched(rows, left, scale, scores)


def followed(
    rows: Rows, left: NDArray[np.float64], scale: float, sums: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The same of the slots (n,) that have any, with their scores (n,). sums (≥ N,): zeros, before and after."""
    slots = _touched(rows, left, scale, sums)
    scores = sums[slots]
    sums[slots] = 0.0
    return slots, scores


def _touched(
    rows: Rows, left: NDArray[np.float64], scale: float, scores: NDArray[np.floating]
) -> NDArray[np.int32]:  # fmt: skip
    factors = _STEPS[: len(left)] * scale / (left * scale + SHRINK)
    touched = np.empty(len(rows.found) * rows.neighbours.shape[1], np.int32)
    return touched[: _follow(rows.found, factors, rows.neighbours, rows.weights, rows.counts, scores, touched)]


@compiled
def _follow(
    places: Any, factors: Any, neighbours: Any, weights: Any, counts: Any, scores: Any, touched: Any
) -> int:  # fmt: skip
    count = 0
    for q in range(len(places)):
        row = places[q]
        if row < 0:
            continue
        for k in range(counts[row]):
            slot, gain = neighbours[row, k], factors[q] * weights[row, k]
            if slot < 0 or not gain > 0:
                continue
            if scores[slot] == 0:
                touched[count] = slot
                count += 1
            scores[slot] += gain
    return count


@compiled
def _strongest(places: Any, neighbours: Any, weights: Any, counts: Any, best: Any, values: Any) -> None:
    for at in range(len(places)):
        row = places[at]
        if row < 0:
            continue
        order = np.argsort(-weights[row, : counts[row]])[: best.shape[1]]
        for k in range(len(order)):
            best[at, k], values[at, k] = neighbours[row, order[k]], weights[row, order[k]]
