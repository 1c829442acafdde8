"""Candidates that users met near the posts this user met last."""

from online_models.co_visitation_scores import score_posts
from online_models.user_history import CONTEXT

from ..stages import Query, Retrieved, evidence


class CoVisitation:
    """Co-visitation neighbours of the last CONTEXT posts, the newest counting most (online_models.co_visitation)."""

    name = "co_visitation"
    personal = True

    async def retrieve(self, query: Query) -> Retrieved:
        catalogue, recent = query.catalogue, query.history[:CONTEXT]
        scores = score_posts(
            catalogue.neighbour_slots[recent],
            catalogue.neighbour_weights[recent],
            catalogue.strength[recent],
            catalogue.strength[: catalogue.size],
            query.now,
        )
        return evidence(scores)
