"""Holds back authors whom the user does not want to hear."""

import numpy as np

from ..stages import Mask, Query, Slots


class AuthorMuted:
    """Drops posts of the authors in `muted_authors` of the user row's attributes."""

    name = "author_muted"

    def keep(self, query: Query, slots: Slots) -> Mask:
        if not query.muted:
            return np.ones(len(slots), np.bool_)
        return np.isin(query.catalogue.written_by[slots], query.muted, invert=True)
