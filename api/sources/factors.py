"""Candidates that go with what the user liked long ago."""

from ..retrieved import Retrieved, nothing
from ..stages import Query, ranked


class Factors:
    """Logits of online_models.pairwise_mf, whose users have vectors of their own. A user without one gets nothing: the
    learner never ranks for one, so the blend doesn't know what the bias alone is worth."""

    name = "factors"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        if (learnt := query.learnt) is None or query.own is None or len(query.own) != learnt.posts.dim:
            return nothing()
        return ranked(learnt, 2, query.own)
