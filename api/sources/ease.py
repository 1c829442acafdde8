"""Candidates that all posts of this user's past speak for together."""

from ..retrieved import OfFew, Retrieved, nothing
from ..stages import Query


class Ease:
    """The last 50 posts, by weights that a ridge regression found (online_models.ease)."""

    name = "ease"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        if (learnt := query.learnt) is None or (ease := learnt.ease) is None:
            return nothing()
        return OfFew(ease.slots, ease.scores(query.past))
