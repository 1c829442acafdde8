"""Candidates near the user's history in the item vectors of the batch model `graph`."""

import numpy as np

from ..stages import Query, Retrieved, nothing

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
        vectors, rows = model.of_slots(query.catalogue), model.rows(query.catalogue)
        weights = RECENCY ** np.arange(len(query.history)) * (query.strengths > 0)
        weights[rows[query.history] < 0] = 0.0
        if not (total := weights.sum()):
            return nothing()
        user = (weights / total).astype(np.float32) @ vectors[query.history]
        user[-1] = 1.0
        scores = vectors @ user
        scores[rows < 0] = -np.inf
        return Retrieved(row=scores, logits=True)
