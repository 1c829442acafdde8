"""What users turn to around a post: item-based filtering by closeness in the user's own order, both ways.

Posts i and j get DECAY^(d − 1) for each user who met them d ≤ LAGS posts apart, over (n_i · n_j)^DAMPING, n = users who
met it. Users take what lies together one after the other: on MovieLens-100K that says more than who else met it.
"""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from schemas.events import InteractionType

from .dataset import Interactions, pairs
from .linear import Linear, recent_past
from .neighbours import keep_largest

LAGS = 20
DECAY = 0.9
DAMPING = 0.5
RECENCY = 0.8
NEIGHBOURS = 200


class Succession:
    name = "succession"

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Linear:
        found = pairs(part, weights)
        kept = np.flatnonzero(found.strengths > 0)
        kept = kept[np.lexsort((found.last[kept], found.users[kept]))]
        users, posts = found.users[kept], found.posts[kept]
        count = len(part.post_ids)
        near = sp.csr_matrix((count, count), dtype=np.float32)
        for lag in range(1, LAGS + 1):
            near = near + _apart(users, posts, lag, count)
        met = np.maximum(np.bincount(posts, minlength=count), 1).astype(np.float32)
        damped = sp.diags_array(met**-DAMPING)
        return Linear(
            keep_largest((damped @ (near + near.T) @ damped).tocsr(), NEIGHBOURS), recent_past(weights, RECENCY)
        )


def _apart(users: NDArray[np.int64], posts: NDArray[np.int64], lag: int, count: int) -> sp.csr_matrix:
    same = users[lag:] == users[:-lag]
    cells = posts[:-lag][same], posts[lag:][same]
    return sp.csr_matrix((np.full(len(cells[0]), DECAY ** (lag - 1), np.float32), cells), shape=(count, count))
