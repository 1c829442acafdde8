"""Candidates that gather interactions now."""

from schemas.trending import DEFAULT_WINDOW, WINDOWS

from ..stages import Query, Retrieved, evidence

WINDOW = list(WINDOWS).index(DEFAULT_WINDOW)


class Trending:
    """Posts by decayed sum of strengths, half-life one day: the list of `/api/v1/trending`."""

    name = "trending"
    personal = False

    def retrieve(self, query: Query) -> Retrieved:
        return evidence(query.decayed(WINDOW))
