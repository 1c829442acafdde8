"""Candidates that go with what the user does now."""

from online_models.sequence_factors import SHORT
from online_models.softmax_factors import summed

from ..stages import Query, Retrieved, nothing, ranked


class Sequence:
    """Logits of online_models.sequence_factors for the decayed sum of the last ten posts, made now: so the event of a
    second ago counts, for a guest as well."""

    name = "sequence"
    personal = True

    async def retrieve(self, query: Query) -> Retrieved:
        if (learnt := query.learnt) is None:
            return nothing()
        learnt.posts.make_room()
        return ranked(query, learnt, 0, summed(learnt.posts.inputs[0], query.past[: SHORT.length], SHORT.decay))
