"""Holds back other moods than the one asked for."""

import numpy as np

from ..masks import everything
from ..stages import Mask, Query, Slots


class Mood:
    """Drops posts of which all that is known speaks for other moods; those that tell nothing stay, and come last."""

    name = "mood"

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        if query.mood is None:
            return everything(query, slots)
        moods = query.catalogue.moods[slots]
        return np.asarray((moods[:, query.mood] > 0) | ~moods.any(axis=1))
