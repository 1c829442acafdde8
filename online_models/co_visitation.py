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

from .co_visitation_scores import DECAY, HALF_LIFE, LANDMARK, RECENCY, SHRINK, growth, growths
from .neighbour_rows import NeighbourRows

__all__ = [
    "BACKWARD", "DECAY", "HALF_LIFE", "KEEP", "LANDMARK", "RANK_WEIGHTS", "SLACK", "CoVisitation", "growth", "growths",
]  # fmt: skip

BACKWARD = 0.5
KEEP = 100
SLACK = 28
"""A row grows to KEEP + SLACK before its weakest are cut: one cut for 28 insertions."""
RANK_WEIGHTS = np.concatenate([RECENCY, BACKWARD * RECENCY[::-1]])
"""By rank as schemas.signals.Touches has it: q for the row of the post before, −1 − q for that of the post after."""


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
    >>> model.row(1), model.row(2)
    ({2: 1.0}, {1: 0.5})
    >>> model.rank([1], at=LANDMARK)
    [2]
    """

    def __init__(self, keep: int = KEEP) -> None:
        self.keep = keep
        self.rows = NeighbourRows(keep, SLACK)
        self.strengths: dict[int, float] = {}

    def learn_one(self, post_id: int, context: Sequence[int], gain: float, at: float) -> None:
        """A user came to `post_id` after `context` (newest first), at event time `at` in seconds."""
        gain *= growth(at)
        self.strengths[post_id] = self.strengths.get(post_id, 0.0) + gain
        before, after = np.array(context, np.int64), np.full(len(context), post_id)
        ranks = gain * RECENCY[: len(context)]
        self.learn_pairs(
            np.concatenate([before, after]), np.concatenate([after, before]), np.concatenate([ranks, BACKWARD * ranks])
        )

    def learn_pairs(
        self, post_ids: NDArray[np.int64], neighbour_ids: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> None:
        """Adds weights (p,), ≥ 0 and grown to the landmark, to neighbours (p,) in the rows of posts (p,)."""
        self.rows.add(post_ids, neighbour_ids, weights)

    def row(self, post_id: int) -> dict[int, float]:
        """Neighbours of a post and their weights, in the order in which they came; empty for a stranger."""
        return self.rows.row(post_id)

    def load(self, post_id: int, ids: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """Takes a row that was kept elsewhere for that of the post; its strength goes into `strengths`."""
        self.rows.load(post_id, ids, weights)

    def forget(self, post_id: int) -> None:
        """Drops the row and the strength of a post."""
        self.rows.forget(post_id)
        self.strengths.pop(post_id, None)

    def rank(self, history: Sequence[int], at: float) -> list[int]:
        """All posts with any evidence, best first, for a user whose last posts are `history`, newest first."""
        scores: dict[int, float] = {}
        scale = 1.0 / growth(at)
        for rank, before in zip(RECENCY.tolist(), history, strict=False):
            norm = (self.strengths.get(before, 0.0) * scale + SHRINK) ** 0.5
            for post_id, weight in self.row(before).items():
                scores[post_id] = scores.get(post_id, 0.0) + rank * weight * scale / norm
        for post_id in scores:
            scores[post_id] /= (self.strengths.get(post_id, 0.0) * scale + SHRINK) ** 0.5
        return sorted(scores, key=lambda post_id: (-scores[post_id], post_id))
