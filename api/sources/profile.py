"""Candidates that users met near any of the posts of this user."""

from ..stages import Query, Retrieved, evidence, nothing


class Profile:
    """Co-visitation neighbours of the last 50 posts, all alike (online_models.source_scores.visit)."""

    name = "profile"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        return evidence(query.visited()[1]) if query.learnt is not None else nothing()
