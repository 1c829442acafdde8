"""Holds back what is locked."""

import numpy as np

from ..catalogue import LOCKED
from ..stages import Mask, Query, Slots


class Locked:
    """Drops posts with `is_locked`."""

    name = "locked"
    of_rows = True

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return np.not_equal(query.catalogue.availability[slots], LOCKED)
