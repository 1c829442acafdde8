"""Candidates near the user's taste in the item vectors of the batch model `svd`."""

import numpy as np

from ..retrieved import Retrieved, nothing
from ..stages import Query

RECENCY = 0.95
"""Weight of a post falls by this with each newer one: half after 14."""


class Svd:
    """Folds the user in from live history: u = Σ w_q V_q over the user's posts, w_q = .95^q · max(strength, 0),
    normalised to a sum of 1; score = V · u. So an event moves the feed at once, without a new training.
    """

    name = "svd"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        model = query.vectors.get("svd")
        if model is None:
            return nothing()
        weights = RECENCY ** np.arange(len(query.history)) * np.maximum(query.strengths, 0.0)
        if (user := model.mean_of(query.catalogue, query.history, weights)) is None:
            return nothing()
        return model.towards(query.catalogue, user, logits=False)
