"""Holds back what is not there."""

import numpy as np

from ..catalogue import DELETED, UNKNOWN
from ..stages import Mask, Query, Slots


class Deleted:
    """Drops posts that were deleted, and those whose row has not come yet."""

    name = "deleted"
    of_rows = True

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        found = query.catalogue.availability[slots]
        return np.not_equal(found, DELETED) & np.not_equal(found, UNKNOWN)
