"""Item-based collaborative filtering: cosine between posts, as users met them, and histories that fade.

Without fading it is the yardstick item-kNN (Sarwar, Karypis, Konstan, Riedl, WWW 2001).
"""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp

from schemas.events import InteractionType

from .dataset import Interactions, liked
from .linear import Linear, recent_past, whole_past
from .neighbours import strongest

NEIGHBOURS = 100


class ItemBased:
    """recency: weight of a post of the history against the one after it; None: all count the same."""

    def __init__(self, name: str, recency: float | None) -> None:
        self.name = name
        self._recency = recency

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Linear:
        cells = liked(part, weights)
        norms = np.sqrt(np.maximum(np.asarray(cells.sum(axis=0)).ravel(), 1.0))
        unit = (cells @ sp.diags_array(1 / norms)).astype(np.float32).tocsc()
        history = whole_past(weights) if self._recency is None else recent_past(weights, self._recency)
        return Linear(strongest(unit, NEIGHBOURS), history)
