"""Popularity that fades: positives, each counting half once HALF_LIFE of all interactions came after it."""

from collections.abc import Mapping

import numpy as np

from online_models.positives import Positives
from schemas.events import InteractionType

from .dataset import Interactions, positive, standing
from .popularity import Popular

HALF_LIFE = 0.05


class RecentPopularity:
    """aim: what counts as positive."""

    name = "recent-popularity"

    def __init__(self, aim: Positives) -> None:
        self._aim = aim

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Popular:
        rows = np.flatnonzero(positive(part, self._aim) & standing(part))
        worth = 0.5 ** ((len(part) - rows) / (HALF_LIFE * len(part)))
        return Popular(np.bincount(part.posts[rows], worth, len(part.post_ids)).astype(np.float32))
