"""Candidates that most users came to, at any time."""

import numpy as np

from ..retrieved import OfAll, Retrieved, nothing
from ..stages import Query


class Popularity:
    """Posts by how many users came to them since the learner began."""

    name = "popularity"
    personal = False

    def retrieve(self, query: Query) -> Retrieved:
        if (learnt := query.learnt) is None:
            return nothing()
        learnt.posts.make_room()
        return OfAll(learnt.posts.total[: query.catalogue.size].astype(np.float64))
