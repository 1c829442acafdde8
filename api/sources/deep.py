"""Candidates by the batch model `deep`: a network reads the user's last events at the moment of the request."""

from ..deep_vectors import DeepVectors
from ..retrieved import Retrieved, nothing
from ..stages import Query


class Deep:
    """score = V · u, u being the user's vector from the live history: logits but for a constant. So an event of a
    second ago changes it, and a post of a second ago has one, without a new training.
    """

    name = "deep"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        model = query.vectors.get("deep")
        if not isinstance(model, DeepVectors) or not len(query.state.history):
            return nothing()
        return model.towards(query.catalogue, model.user(query.catalogue, query.events))
