"""Candidates of the mood that is asked for."""

import numpy as np

from ..retrieved import OfAll, Retrieved, nothing
from ..stages import Query
from .popular import WINDOW


class Mood:
    """Posts by how much they are of the mood, times 1 + ln(1 + popularity): new ones have a chance. Nothing without a
    mood in the request."""

    name = "mood"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        if query.mood is None:
            return nothing()
        shares = query.catalogue.moods[: query.catalogue.size, query.mood]
        return OfAll(shares * (1.0 + np.log1p(np.maximum(query.decayed(WINDOW), 0.0))))
