"""Candidates that users met near any of the posts of this user."""

from ..retrieved import OfFew, Retrieved, nothing
from ..stages import Query


class Profile:
    """Co-visitation neighbours of the last 50 posts, all alike (online_models.source_scores.visit)."""

    name = "profile"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        if query.learnt is None:
            return nothing()
        slots, scores = query.visited()
        return OfFew(slots, scores[1])
