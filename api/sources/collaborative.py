"""Candidates near the user's history by the batch model `collaborative`."""

import numpy as np

from ..retrieved import Retrieved, nothing
from ..stages import Query


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
        weights = model.vectors[0, -1] ** np.arange(len(query.history)) * (query.strengths > 0)
        if (mean := model.mean_of(query.catalogue, query.history, weights)) is None:
            return nothing()
        rank = (len(mean) - 2) // 2
        user = np.append(mean[rank + 1 : -1], np.float32(1.0))
        return model.towards(query.catalogue, user)
