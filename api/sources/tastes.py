"""Candidates about what the user's posts are about."""

import numpy as np

from online_models.source_scores import hour_of, taste

from ..retrieved import OfAll, Retrieved, nothing
from ..stages import Query


class Tastes:
    """Posts of the categories, topics, moods, tags and authors of the last ones, those met at this hour of the day
    counting most (online_models.source_scores.taste); met by anybody or not."""

    name = "tastes"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        if (learnt := query.learnt) is None:
            return nothing()
        catalogue, size = query.catalogue, query.catalogue.size
        scores = np.empty(size, np.float32)
        taste(
            query.past, query.hours, hour_of(query.now), catalogue.interests[:size], catalogue.author[:size],
            len(learnt.weights.tag_share), scores,
        )  # fmt: skip
        return OfAll(scores)
