"""What users turn to around a post: item-based filtering by closeness in the user's own order, both ways.

Posts i and j get DECAY^(d − 1) for each user who met them d ≤ LAGS posts apart, over (n_i · n_j)^DAMPING, n = users who
met it. Users take what lies together one after the other: on MovieLens-100K that says more than who else met it.
"""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from online_models.positives import Positives
from schemas.events import InteractionType

from .dataset import Interactions, liked, pairs, wanted
from .linear import Linear, recent_past
from .neighbours import keep_largest

LAGS = 20
DECAY = 0.9
DAMPING = 0.5
RECENCY = 0.8
NEIGHBOURS = 200


class Succession:
    """aim: of two posts that lie together, one counts as a target where it was positive."""

    name = "succession"

    def __init__(self, aim: Positives) -> None:
        self._aim = aim

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Linear:
        met = np.maximum(np.asarray(liked(part, weights).sum(axis=0)).ravel(), 1.0)
        damped = sp.diags_array(met**-DAMPING)
        matrix = keep_largest((damped @ near(part, weights, self._aim) @ damped).tocsr().astype(np.float32), NEIGHBOURS)
        return Linear(matrix, recent_past(weights, RECENCY))


def near(part: Interactions, weights: Mapping[InteractionType, float], aim: Positives) -> sp.csr_matrix:
    """(posts, posts): from each post to those that were met around it and were positive, before any damping."""
    found = pairs(part, weights)
    kept = np.flatnonzero(found.strengths > 0)
    kept = kept[np.lexsort((found.last[kept], found.users[kept]))]
    users, posts = found.users[kept], found.posts[kept]
    hit = np.asarray(wanted(part, aim)[users, posts]).ravel() > 0
    count = len(part.post_ids)
    total = sp.csr_matrix((count, count), dtype=np.float32)
    for lag in range(1, LAGS + 1):
        total = total + _apart(users, posts, hit, lag, count)
    return total


def _apart(
    users: NDArray[np.int64], posts: NDArray[np.int64], hit: NDArray[np.bool_], lag: int, count: int
) -> sp.csr_matrix:
    """From each post to those of the same user `lag` before and after it that are hits."""
    same = users[lag:] == users[:-lag]
    after, before = same & hit[lag:], same & hit[:-lag]
    rows = np.concatenate([posts[:-lag][after], posts[lag:][before]])
    columns = np.concatenate([posts[lag:][after], posts[:-lag][before]])
    return sp.csr_matrix((np.full(len(rows), DECAY ** (lag - 1), np.float32), (rows, columns)), shape=(count, count))
