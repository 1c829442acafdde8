"""Holds back what was hidden from the public feed."""

import numpy as np

from ..catalogue import NOT_PUBLIC
from ..stages import Mask, Query, Slots


class NotPublic:
    """Drops posts whose `is_available_in_public_feed` is false."""

    name = "not_public"
    of_rows = True

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return np.not_equal(query.catalogue.availability[slots], NOT_PUBLIC)
