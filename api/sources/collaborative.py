"""Candidates near the user's history by the batch model `collaborative`."""

import numpy as np

from ..stages import Query, Retrieved, nothing


class Collaborative:
    """u = Σ w_q U_q / Σ w_q over what was not disliked of the history, w_q = recency^q; score = V · u + bias.
    V, bias, U and recency lie side by side in the row of a post. An event moves it at once.
    """

    name = "collaborative"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        model = query.vectors.get("collaborative")
        if model is None or not len(model.ids):
            return nothing()
        vectors, rows = model.of_slots(query.catalogue), model.rows(query.catalogue)
        rank = (vectors.shape[1] - 2) // 2
        weights = model.vectors[0, -1] ** np.arange(len(query.history)) * (query.strengths > 0)
        weights[rows[query.history] < 0] = 0.0
        if not (total := weights.sum()):
            return nothing()
        user = (weights / total).astype(np.float32) @ vectors[query.history, rank + 1 : -1]
        scores = vectors[:, :rank] @ user + vectors[:, rank]
        scores[rows < 0] = -np.inf
        return Retrieved(row=scores, logits=True)
