"""Candidates that gather interactions this very hour."""

from schemas.trending import WINDOWS

from ..retrieved import OfAll, Retrieved, nothing
from ..stages import Query

WINDOW = list(WINDOWS).index("1h")


class TrendingHour:
    """Posts by decayed sum of strengths, half-life one hour. An hour of few events is noise: only the learnt blend,
    which knows what it is worth, gets it."""

    name = "trending_1h"
    personal = False

    def retrieve(self, query: Query) -> Retrieved:
        return OfAll(query.decayed(WINDOW)) if query.learnt is not None else nothing()
