"""Candidates near the user's history in the item vectors of the batch model `graph`."""

import numpy as np

from ..retrieved import Retrieved, nothing
from ..stages import Query

RECENCY = 0.95
"""As the model was trained with."""


class Graph:
    """u = Σ w_q V_q / Σ w_q over the posts of the history that were not disliked, w_q = .95^q, and 1 where the vectors
    have the bias of a post; score = V · u: logits but for a constant. An event moves it at once.
    """

    name = "graph"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        model = query.vectors.get("graph")
        if model is None:
            return nothing()
        weights = RECENCY ** np.arange(len(query.history)) * (query.strengths > 0)
        if (user := model.mean_of(query.catalogue, query.history, weights)) is None:
            return nothing()
        user[-1] = 1.0
        return model.towards(query.catalogue, user)
