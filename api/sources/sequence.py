"""Candidates that go with what the user does now."""

from online_models.sequence_factors import SHORT

from ..retrieved import Retrieved
from ..stages import Query, of_past


class Sequence:
    """Logits of online_models.sequence_factors for the decayed sum of the last ten posts, made now: so the event of a
    second ago counts, for a guest as well."""

    name = "sequence"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        return of_past(query, 0, SHORT)
