"""Candidates by the batch model `deep`: a network reads the user's last events at the moment of the request."""

import numpy as np

from online_models.event_sequence import of_history

from ..stages import Query, Retrieved, nothing


class Deep:
    """score = V · u, u being the user's vector from the live history (api/user_tower.py): logits but for a constant.
    So an event of a second ago changes it, without a new training.
    """

    name = "deep"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        model = query.vectors.get("deep")
        events = of_history(query.state.history)
        if model is None or model.tower is None or not len(events.posts):
            return nothing()
        user = model.tower.vector(model.rows_of(events.posts), events)
        scores = model.of_slots(query.catalogue) @ user
        scores[model.rows(query.catalogue) < 0] = -np.inf
        return Retrieved(row=scores, logits=True)
