"""Candidates that go with what the user likes."""

from online_models.sequence_factors import LONG
from online_models.softmax_factors import summed

from ..stages import Query, Retrieved, nothing, ranked


class TasteFactors:
    """Logits of online_models.sequence_factors.long_memory for the decayed sum of the last 50 posts."""

    name = "taste_factors"
    personal = True

    async def retrieve(self, query: Query) -> Retrieved:
        if (learnt := query.learnt) is None:
            return nothing()
        learnt.posts.make_room()
        return ranked(query, learnt, 1, summed(learnt.posts.inputs[1], query.past[: LONG.length], LONG.decay))
