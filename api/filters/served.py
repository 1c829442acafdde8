"""Holds back what this session showed already."""

import numpy as np

from ..stages import Mask, Query, Slots


class Served:
    """Drops posts that another list of the same `session_id` showed; within a list, pages never share one."""

    name = "served"

    def keep(self, query: Query, slots: Slots) -> Mask:
        mask = np.ones(query.catalogue.size, np.bool_)
        mask[query.served] = False
        return mask[slots]
