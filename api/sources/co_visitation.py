"""Candidates that users met near the posts this user met last."""

from ..retrieved import OfFew, Retrieved
from ..stages import Query


class CoVisitation:
    """Co-visitation neighbours of the last 20 posts, the newest counting most (online_models.source_scores.visit)."""

    name = "co_visitation"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        return OfFew(*query.visited())
