"""Candidates that many liked over the last weeks."""

from schemas.trending import WINDOWS

from ..stages import Query, Retrieved, evidence

WINDOW = list(WINDOWS).index("7d")


class Popular:
    """Posts by decayed sum of strengths, half-life one week."""

    name = "popular"
    personal = False

    def retrieve(self, query: Query) -> Retrieved:
        return evidence(query.decayed(WINDOW))
