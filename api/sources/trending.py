"""Candidates that gather interactions now."""

from schemas.trending import DEFAULT_WINDOW, WINDOWS

from ..retrieved import OfAll, Retrieved
from ..stages import Query

WINDOW = list(WINDOWS).index(DEFAULT_WINDOW)


class Trending:
    """Posts by decayed sum of strengths, half-life one day: the list of `/api/v1/trending`."""

    name = "trending"
    personal = False

    def retrieve(self, query: Query) -> Retrieved:
        return OfAll(query.decayed(WINDOW))
