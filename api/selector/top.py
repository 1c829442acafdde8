"""Chooses by score alone."""

import numpy as np

from ..stages import Candidates, Query, Scores, Slots


class Top:
    """Best score first; equals by post id, so that pages of one list agree; what is not a number sinks to the end."""

    name = "top"

    def order(self, query: Query, candidates: Candidates, scores: Scores) -> Slots:
        below = np.where(np.isfinite(scores), -scores, np.inf)
        order: Slots = np.argsort(below)
        ranked = below[order]
        if (ranked[1:] == ranked[:-1]).any():  # to sort by both costs twice as much, and hardly ever matters
            return np.lexsort((query.catalogue.ids[candidates.slots], below))
        return order
