"""EASE, live: item-item weights by ridge regression in closed form, over the posts that most is known of.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019. When a user whose last posts are h_0 (newest),
h_1, … comes to post b,

    G[b, b] += 1        G[b, h_q], G[h_q, b] += 1 − q / 50

and once a tenth more is known, at the earliest after 1,000 events,

    P = (G + 200 I)⁻¹        B[i, j] = −P[i, j] / P[j, j], B[j, j] = 0        score(j) = max(0, Σ_q .95^q · B[h_q, j])

So, unlike in co-visitation, a post that is met with everything says nothing, and two posts that say the same count
once. Sums decay forward as those of co-visitation do, three times as slowly.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base
from scipy.linalg import lapack

from .co_visitation_scores import LANDMARK
from .compiled import compiled, compiled_sums
from .slots import Slots

POSTS = 1_536
"""With 1,024, .0012 less of recall@10 in the blend on ML-100K, which has 1,682; with 2,048 nothing more, for twice the
time."""
HALF_LIFE = 90 * 86_400.0
"""With 30 days .0015 less, with 365 or none the same."""
RIDGE = 200.0
"""Of 50, 100, 200, 500 and 1,000 on the first 30,000 events of ML-100K; 100 to 1,000 differ by .001 in the blend."""
PAST = 50
TAPER = 1.0 - np.arange(PAST) / PAST
"""A triangle has no negative frequency (Fejér), so that G is positive semidefinite, for which a plain window gives no
warrant; and near posts say more: .192 in place of .176 of recall@10 on those 30,000."""
RECENCY = (0.95 ** np.arange(PAST)).astype(np.float32)
LEAST = 1_000
SHARE = 0.1
"""What is solved is as old as a tenth of all events that count, or LEAST: 80 ms with all posts."""
FREE = POSTS // 8
"""Rows that are left, after a solution, for posts that come until the next one."""


class Ease(base.Base):  # type: ignore[misc]
    """weights (POSTS, POSTS): B of the last solution. rows (N,): the row of a slot, −1 for none; held (POSTS,): the
    slot of a row, likewise. solutions: how many there were.

    Examples
    --------
    >>> model = Ease()
    >>> for user in range(500):
    ...     model.learn_one(7, context=[], at=0.0)
    ...     model.learn_one(9, context=[7], at=0.0)
    >>> model.solutions, model.rank([7]), model.rank([8])
    (1, [9], [])
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self.capacity = capacity
        self.slots = Slots(capacity)
        self.rows = np.full(capacity, -1, np.int32)
        self.held = np.full(POSTS, -1, np.int32)
        self.weights = np.zeros((POSTS, POSTS), np.float32)
        self.solutions = 0
        self._gram = np.zeros((POSTS, POSTS))  # [b, h] alone: the other half is its mirror image
        self._wait = LEAST
        self._grown = 0.0  # of the latest event, as counts are told as of then

    def learn_one(self, post_id: int, context: Sequence[int], at: float) -> None:
        """A user came to `post_id` after `context` (newest first), at event time `at` in seconds."""
        slot, new = self.slots.admit(post_id)
        if new:
            self.forget(slot)
        past = self.slots.find(np.array(context, np.int64))
        self.learn_slots(slot, past[past >= 0], at)

    def learn_slots(self, post: int, past: NDArray[np.int32], at: float) -> None:
        """The same by slots (q,)."""
        grown = float(2.0 ** ((at - LANDMARK) / HALF_LIFE))
        if (row := self._admit(post)) >= 0:
            _add(self._gram[row], row, self.rows, past[:PAST], TAPER, grown)
        self._wait, self._grown = self._wait - 1, max(self._grown, grown)
        if self._wait <= 0:
            self.solve()

    def solve(self) -> None:
        """Works weights out anew, and makes room for posts that come next: those with the smallest sums go."""
        held = np.flatnonzero(self.held >= 0)
        order = held[np.argsort(self._gram[held, held], kind="stable")]
        for row in order[: max(len(held) - (POSTS - FREE), 0)].tolist():
            self._leave(row)
        held = np.flatnonzero(self.held >= 0)
        gram = (self._gram[np.ix_(held, held)] / self._grown).astype(np.float32)
        counts = gram.diagonal().copy()
        self._wait = max(LEAST, int(SHARE * counts.sum()))
        gram += gram.T
        np.fill_diagonal(gram, counts + RIDGE)
        inverse, failed = lapack.spotri(*lapack.spotrf(gram, lower=1)[:1], lower=1)
        if failed or not np.isfinite(inverse).all():  # sums of very different age: the former solution stays
            return
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        found = inverse / -inverse.diagonal()
        np.fill_diagonal(found, 0.0)
        self.weights[:] = 0.0
        self.weights[np.ix_(held, held)] = found
        self.solutions += 1

    def score(self, past: NDArray[np.int32], scores: NDArray[np.float32]) -> None:
        """Fills scores (N,) of slots, 0 for no evidence. past (q,): newest first."""
        scores[:] = 0.0
        _scatter(self.held, summed(self.rows[past[:PAST]], self.weights), scores)

    def solution(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """slots (m,) and the weights (m, m) among them."""
        held = np.flatnonzero(self.held >= 0)
        return self.held[held], self.weights[np.ix_(held, held)]

    def rank(self, context: Sequence[int]) -> list[int]:
        """All posts with any evidence, best first."""
        scores = np.zeros(self.slots.size, np.float32)
        past = self.slots.find(np.array(context, np.int64))
        self.score(past[past >= 0], scores)
        order = np.argsort(-scores, kind="stable")
        return [int(post_id) for post_id in self.slots.ids[order[scores[order] > 0]].tolist()]

    def forget(self, post: int) -> None:
        """The slot of a post goes to another."""
        if (row := int(self.rows[post])) >= 0:
            self._leave(row)

    def _admit(self, post: int) -> int:
        """The row of a slot; −1 when all are taken until the next solution."""
        row = int(self.rows[post])
        if row < 0 and self.held[free := int(self.held.argmin())] < 0:
            self.rows[post], self.held[free] = free, post
            return free
        return row

    def _leave(self, row: int) -> None:
        self.rows[self.held[row]], self.held[row] = -1, -1
        for matrix in (self._gram, self.weights):
            matrix[row], matrix[:, row] = 0.0, 0.0

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps: sums in single precision, 9 MB, from which the solution follows."""
        held = np.flatnonzero(self.held >= 0)
        gram = (self._gram[np.ix_(held, held)] / self._grown).astype(np.float32)
        return {"held": self.held[held], "gram": gram, "grown": np.array(self._grown)}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over."""
        held, self._grown = state["held"], float(state["grown"])
        self.rows[:], self.held[:], self._gram[:] = -1, -1, 0.0
        self.held[: len(held)], self.rows[held] = held, np.arange(len(held))
        self._gram[: len(held), : len(held)] = state["gram"].astype(np.float64) * self._grown
        self.solve()


@compiled
def _add(gram: Any, own: Any, rows: Any, past: Any, taper: Any, grown: Any) -> None:
    gram[own] += grown
    for q in range(len(past)):
        other = rows[past[q]]
        if other >= 0 and other != own:
            gram[other] += grown * taper[q]


def summed(rows: NDArray[np.int32], weights: NDArray[Any]) -> NDArray[np.float32]:
    """Σ_q .95^q · weights[rows_q], (m,): of rows (q,), −1 for none, in weights (m, m)."""
    sums: NDArray[np.float32] = _summed(rows, weights, RECENCY)
    return sums


@compiled_sums
def _summed(rows: Any, weights: Any, recency: Any) -> Any:
    sums = np.zeros(weights.shape[1], np.float32)
    for q in range(len(rows)):
        if rows[q] >= 0:
            own = weights[rows[q]]
            for at in range(len(sums)):
                sums[at] += recency[q] * own[at]
    return sums


@compiled
def _scatter(held: Any, sums: Any, scores: Any) -> None:
    for row in range(len(held)):
        if held[row] >= 0 and sums[row] > 0:
            scores[held[row]] = sums[row]
