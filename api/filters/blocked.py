"""Holds back authors whom the user blocked, or who blocked the user."""

import numpy as np

from ..stages import Mask, Query, Slots


class Blocked:
    """Drops posts of the authors in `blocked_authors` of the user row's attributes."""

    name = "blocked"

    def keep(self, query: Query, slots: Slots) -> Mask:
        if not query.blocked:
            return np.ones(len(slots), np.bool_)
        return np.isin(query.catalogue.written_by[slots], query.blocked, invert=True)
