"""What co-visitation says of posts at a request, and the constants of its scores (online_models.source_scores)."""

import numpy as np
from numpy.typing import NDArray

from schemas.signals import MOST_RANKS

LANDMARK = 1_893_456_000.0
"""2030-01-01. With a half-life of 30 days a double lasts from 1946 to 2114, and the single precision in which Redis
holds neighbours from 2023 to 2039 without scaling (schemas.item_state)."""
HALF_LIFE = 30 * 86_400.0
DECAY = 0.8
SHRINK = 30.0
"""Pulls posts with little evidence down. In prototypes on ML-100K, 50 (with BACKWARD .2) lost .005 of recall@10."""
RECENCY = DECAY ** np.arange(MOST_RANKS)
"""By place in the history, newest first."""


def growth(at: float) -> float:
    """2^((at − landmark) / half-life): what a weight of 1 at `at` (seconds since 1970) is stored as."""
    return float(2.0 ** ((at - LANDMARK) / HALF_LIFE))


def growths(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for many times, (n,)."""
    return np.asarray(np.exp2((at - LANDMARK) / HALF_LIFE), dtype=np.float64)


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
