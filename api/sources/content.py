"""Candidates by what their rows say, of the batch model `content`: posts that no other batch model has met."""

import numpy as np

from online_models.content_tokens import user_tokens
from schemas.users import decode_user

from ..content_vectors import ContentVectors
from ..retrieved import OfFew, Retrieved, nothing
from ..stages import Query

RECENCY = 0.95
"""Weight of a post falls by this with each newer one, as in training."""


class Content:
    """score = V · u, a logit. u is made at the moment of the request, of the sum of the vectors of the user's posts,
    w_q = .95^q · max(strength, 0), and of the profile; without both there is nothing to say.

    Of posts that another batch model learnt it says nothing: there it is no better than popularity (NDCG@10 on ML-100K,
    `time`: .141, svd .254, popularity .133), and a source counts as much as any other until the blend has learnt it.
    """

    name = "content"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        model = query.vectors.get("content")
        if not isinstance(model, ContentVectors):
            return nothing()
        rows = model.rows(query.catalogue)
        weights = RECENCY ** np.arange(len(query.history)) * np.maximum(query.strengths, 0.0)
        met = rows[query.history]
        profile = user_tokens([decode_user(query.profile) if query.profile else None])
        if not (weights[met >= 0].any() or profile.any()):
            return nothing()
        taste = weights[met >= 0].astype(np.float32) @ model.vectors[met[met >= 0]]
        slots = model.only_here(query.catalogue, [other for name, other in query.vectors.items() if name != self.name])
        scores = model.vectors[rows[slots]] @ model.towers.users(taste[None], profile)[0]
        return OfFew(slots, scores, logits=True)
