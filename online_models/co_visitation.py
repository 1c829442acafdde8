"""Incremental item-item collaborative filtering over each user's recent history.

The counters are TencentRec's (Huang et al., SIGMOD 2015) with recency in place of a fixed window: when a user whose
last posts are h_0 (newest), h_1, … comes to post b with a gain g,

    C[h_q, b] += g · .8^q        C[b, h_q] += .5 · g · .8^q        n_b += g

    score(j) = Σ_q .8^q · C[h_q, j] / sqrt((n_hq + 30) (n_j + 30))

All sums decay forward (Cormode et al., ICDE 2009): a weight is stored as w · 2^((t − landmark) / half-life), so that
nothing is rewritten as time passes and the order of arrival doesn't matter.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from river import base

from schemas.signals import MOST_RANKS

LANDMARK = 1_893_456_000.0
"""2030-01-01. With a half-life of 30 days a double lasts from 1946 to 2114, and the single precision in which Redis
holds neighbours from 2023 to 2039 without scaling (schemas.item_state)."""
HALF_LIFE = 30 * 86_400.0
DECAY = 0.8
BACKWARD = 0.5
SHRINK = 30.0
"""Pulls posts with little evidence down. In prototypes on ML-100K, 50 (with BACKWARD .2) lost .005 of recall@10."""
KEEP = 100
SLACK = 28
"""A row grows to KEEP + SLACK before its weakest are cut: one sort for 28 insertions."""

_RANKS = DECAY ** np.arange(MOST_RANKS)
RANK_WEIGHTS = np.concatenate([_RANKS, BACKWARD * _RANKS[::-1]])
"""By rank as schemas.signals.Touches has it: q for the row of the post before, −1 − q for that of the post after."""


def growth(at: float) -> float:
    """2^((at − landmark) / half-life): what a weight of 1 at `at` (seconds since 1970) is stored as."""
    return float(2.0 ** ((at - LANDMARK) / HALF_LIFE))


def growths(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for many times, (n,)."""
    return np.asarray(np.exp2((at - LANDMARK) / HALF_LIFE), dtype=np.float64)


class CoVisitation(base.Base):  # type: ignore[misc]
    """Rows of neighbours, one a post; each holder of a share of the posts learns its share of every event.

    Parameters
    ----------
    keep
        Neighbours kept for a post; the weakest beyond are forgotten.

    Examples
    --------
    >>> model = CoVisitation()
    >>> model.learn_one(2, context=[1], gain=1.0, at=LANDMARK)
    >>> model.rows[1], model.rows[2]
    ({2: 1.0}, {1: 0.5})
    >>> model.rank([1], at=LANDMARK)
    [2]
    """

    def __init__(self, keep: int = KEEP) -> None:
        self.keep = keep
        self.rows: dict[int, dict[int, float]] = {}
        self.strengths: dict[int, float] = {}

    def learn_one(self, post_id: int, context: Sequence[int], gain: float, at: float) -> None:
        """A user came to `post_id` after `context` (newest first), at event time `at` in seconds."""
        gain *= growth(at)
        self.strengths[post_id] = self.strengths.get(post_id, 0.0) + gain
        before, after = np.array(context, np.int64), np.full(len(context), post_id)
        ranks = gain * _RANKS[: len(context)]
        self.learn_pairs(
            np.concatenate([before, after]), np.concatenate([after, before]), np.concatenate([ranks, BACKWARD * ranks])
        )

    def learn_pairs(self, rows: NDArray[np.int64], neighbours: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """Adds weights (p,), grown to the landmark, to neighbours (p,) of rows (p,)."""
        if not len(rows):
            return
        order = np.argsort(rows, kind="stable")
        sorted_rows = rows[order]
        starts = np.flatnonzero(np.concatenate([[True], sorted_rows[1:] != sorted_rows[:-1]]))
        ends = [*starts[1:].tolist(), len(order)]
        near, added = neighbours[order].tolist(), weights[order].tolist()
        most = self.keep + SLACK
        for post_id, start, end in zip(sorted_rows[starts].tolist(), starts.tolist(), ends, strict=True):
            row = self.rows.get(post_id)
            if row is None:
                row = self.rows[post_id] = {}
            get = row.get
            for neighbour, weight in zip(near[start:end], added[start:end], strict=True):
                row[neighbour] = get(neighbour, 0.0) + weight
            if len(row) > most:
                self._prune(row)

    def rank(self, history: Sequence[int], at: float) -> list[int]:
        """All posts with any evidence, best first, for a user whose last posts are `history`, newest first."""
        scores: dict[int, float] = {}
        scale = 1.0 / growth(at)
        for rank, before in zip(_RANKS.tolist(), history, strict=False):
            norm = (self.strengths.get(before, 0.0) * scale + SHRINK) ** 0.5
            for post_id, weight in self.rows.get(before, {}).items():
                scores[post_id] = scores.get(post_id, 0.0) + rank * weight * scale / norm
        for post_id in scores:
            scores[post_id] /= (self.strengths.get(post_id, 0.0) * scale + SHRINK) ** 0.5
        return sorted(scores, key=lambda post_id: (-scores[post_id], post_id))

    def _prune(self, row: dict[int, float]) -> None:
        excess = len(row) - self.keep
        # A third of the time that sorting the pairs takes.
        limit = sorted(row.values())[excess - 1]
        weakest = [post_id for post_id, weight in row.items() if weight < limit]
        weakest += [post_id for post_id, weight in row.items() if weight == limit][: excess - len(weakest)]
        for post_id in weakest:
            del row[post_id]


def score_posts(
    neighbour_slots: NDArray[np.int32],
    neighbour_weights: NDArray[np.float64],
    row_strength: NDArray[np.float64],
    strength: NDArray[np.float64],
    now: float,
) -> NDArray[np.float64]:
    """The same scores for posts in slots: (N,), zero where there is no evidence.

    neighbour_slots (q, K), padded with -1, and neighbour_weights (q, K): rows of the user's last posts, newest first.
    row_strength (q,): strengths of those posts; strength (N,): of all.
    """
    scale = 1.0 / growth(now)
    recency = _RANKS[: len(row_strength)] * scale / np.sqrt(row_strength * scale + SHRINK)
    weights = np.where(neighbour_slots >= 0, neighbour_weights * recency[:, None], 0.0)
    scores = np.bincount(np.maximum(neighbour_slots, 0).ravel(), weights.ravel(), minlength=len(strength))
    return np.asarray(scores / np.sqrt(strength * scale + SHRINK), dtype=np.float64)


def similarity(
    neighbour_slots: NDArray[np.int32],
    neighbour_weights: NDArray[np.float64],
    row_strength: float,
    strength: NDArray[np.float64],
    now: float,
) -> NDArray[np.float64]:
    """Similarity of a post's neighbours to it, (K,), from 0 to 1; 0 for padding."""
    scale = 1.0 / growth(now)
    known = neighbour_slots >= 0
    norms = np.sqrt((row_strength * scale + SHRINK) * (strength[np.maximum(neighbour_slots, 0)] * scale + SHRINK))
    return np.where(known, np.clip(neighbour_weights * scale / norms, 0.0, 1.0), 0.0)
