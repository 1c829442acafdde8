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

    async def retrieve(self, query: Query) -> Retrieved:
        model = query.vectors.get("graph")
        if model is None:
            return nothing()
        rows = model.rows(query.catalogue)
        weights = RECENCY ** np.arange(len(query.history)) * (query.strengths > 0)
        history = rows[query.history]
        weights[history < 0] = 0.0
        if not (total := weights.sum()):
            return nothing()
        user = (weights / total).astype(np.float32) @ model.vectors[history]
        user[-1] = 1.0
        slots = np.flatnonzero(rows >= 0)
        return Retrieved(slots, (model.vectors @ user)[rows[slots]].astype(np.float64), logits=True)
