"""Candidates that many liked over the last weeks."""

from schemas.trending import WINDOWS

from ..retrieved import OfAll, Retrieved
from ..stages import Query

WINDOW = list(WINDOWS).index("7d")


class Popular:
    """Posts by decayed sum of strengths, half-life one week."""

    name = "popular"
    personal = False

    def retrieve(self, query: Query) -> Retrieved:
        return OfAll(query.decayed(WINDOW))
