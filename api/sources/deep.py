"""Candidates by the batch model `deep`: a network reads the user's last events at the moment of the request."""

import numpy as np
from numpy.typing import NDArray

from online_models.event_sequence import EventSequence, of_history

from ..graph import Graph
from ..models import ItemVectors
from ..retrieved import Retrieved, nothing
from ..stages import Query


class Deep:
    """score = V · u, u being the user's vector from the live history (user_vector): logits but for a constant.
    So an event of a second ago changes it, without a new training.
    """

    name = "deep"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        model = query.vectors.get("deep")
        events = of_history(query.state.history)
        if model is None or model.graph is None or not len(events.posts):
            return nothing()
        return model.towards(query.catalogue, _kept(model, model.graph, events))


def _kept(model: ItemVectors, graph: Graph, events: EventSequence) -> NDArray[np.float32]:
    """The user's vector, which the same events need no second time."""
    rows = model.rows_of(events.posts)
    if (users := model.users) is None:
        return user_vector(graph, rows, events)
    key = model.version.version, b"".join(part.tobytes() for part in (rows, events.types, events.values, events.gaps))
    user = users.get(key)
    users.count(hit=user is not None)
    if user is None:
        user = user_vector(graph, rows, events)
        users.put(key, user, len(key[1]) + user.nbytes + 300)
    return user


def user_vector(graph: Graph, rows: NDArray[np.int64], events: EventSequence) -> NDArray[np.float32]:
    """(dim,) of a user with one event at least; .25 ms for 50. rows (T,): of the posts of the events in the item
    vectors, their number for a post that they do not have."""
    vectors = graph.run({
        "posts": rows[None], "types": events.types[None], "values": events.values[None], "gaps": events.gaps[None],
        "there": np.ones((1, len(rows)), np.bool_),
    })  # fmt: skip
    return np.asarray(vectors[0])
