"""Candidates that are new: the only way for a post without any interaction into a feed."""

import numpy as np

from ..retrieved import OfAll, Retrieved
from ..stages import Query

HALF_LIFE = 7 * 86_400.0
"""Seconds. Only the order matters while ages stay below 1,000 half-lives, where a double ends."""


class Fresh:
    """Posts by age, 2^(−age / 7 d); those without a date are left out, those from the future count as new."""

    name = "fresh"
    personal = False

    def retrieve(self, query: Query) -> Retrieved:
        created = query.catalogue.created_at[: query.catalogue.size]
        ages = np.maximum(query.now - created, 0.0)
        return OfAll(np.where(created > 0, np.exp2(-ages / HALF_LIFE), 0.0))
