"""What scores and features need of posts, in arrays: the learner has them of its slots, a feed of its catalogue."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class PostColumns(NamedTuple):
    """popularity (3, N): decayed sums of strengths, which decays (3,) bring to now (online_models.decayed_counters).

    All others as in online_models.post_table, (N,) and tags (N, TAGS). mean_value: of all events. spread: seconds.
    """

    popularity: NDArray[np.float64]
    decays: NDArray[np.float64]
    total: NDArray[np.float32]
    value: NDArray[np.float32]
    first_at: NDArray[np.float64]
    last_at: NDArray[np.float64]
    created_at: NDArray[np.float64]
    author: NDArray[np.int32]
    tags: NDArray[np.int16]
    tag_share: NDArray[np.float32]
    mean_value: float
    spread: float


class Rows(NamedTuple):
    """Rows of neighbours: neighbours (R, K), slots, and weights (R, K), of which the first counts (R,) mean something.

    found (q,): which rows are those of the user's last posts, newest first; −1 for none.
    """

    neighbours: NDArray[np.integer]
    weights: NDArray[np.float64]
    counts: NDArray[np.int32]
    found: NDArray[np.int32]
