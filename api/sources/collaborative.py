"""Candidates near the user's history by the batch model `collaborative`."""

import numpy as np

from ..stages import Query, Retrieved, nothing


class Collaborative:
    """u = Σ w_q U_q / Σ w_q over what was not disliked of the history, w_q = recency^q; score = V · u + bias.
    V, bias, U and recency lie side by side in the row of a post. An event moves it at once.
    """

    name = "collaborative"
    personal = True

    async def retrieve(self, query: Query) -> Retrieved:
        model = query.vectors.get("collaborative")
        if model is None or not len(model.ids):
            return nothing()
        rank = (model.vectors.shape[1] - 2) // 2
        rows = model.rows(query.catalogue)
        weights = model.vectors[0, -1] ** np.arange(len(query.history)) * (query.strengths > 0)
        history = rows[query.history]
        weights[history < 0] = 0.0
        if not (total := weights.sum()):
            return nothing()
        user = (weights / total).astype(np.float32) @ model.vectors[history, rank + 1 : -1]
        scores = model.vectors[:, :rank] @ user + model.vectors[:, rank]
        slots = np.flatnonzero(rows >= 0)
        return Retrieved(slots, scores[rows[slots]].astype(np.float64), logits=True)
