"""Holds back other categories than the one asked for."""

import numpy as np

from ..stages import Mask, Query, Slots


class Category:
    """Drops posts of other categories, when the request names one."""

    name = "category"

    def keep(self, query: Query, slots: Slots) -> Mask:
        if query.category is None:
            return np.ones(len(slots), np.bool_)
        return query.category.of(query.catalogue, slots)
