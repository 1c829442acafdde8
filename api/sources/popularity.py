"""Candidates that most users came to, at any time."""

import numpy as np

from ..stages import Query, Retrieved, evidence, nothing


class Popularity:
    """Posts by how many users came to them since the learner began."""

    name = "popularity"
    personal = False

    def retrieve(self, query: Query) -> Retrieved:
        if (learnt := query.learnt) is None:
            return nothing()
        learnt.posts.make_room()
        return evidence(learnt.posts.total[: query.catalogue.size].astype(np.float64))
