"""Candidates that go with what the user likes."""

from online_models.sequence_factors import LONG

from ..retrieved import Retrieved
from ..stages import Query, of_past


class TasteFactors:
    """Logits of online_models.sequence_factors.long_memory for the decayed sum of the last 50 posts."""

    name = "taste_factors"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        return of_past(query, 1, LONG)
