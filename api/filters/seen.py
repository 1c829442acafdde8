"""Holds back what the user has met."""

import numpy as np

from ..stages import Mask, Query, Slots


class Seen:
    """Drops posts the user viewed, liked or met in any other way."""

    name = "seen"

    def keep(self, query: Query, slots: Slots) -> Mask:
        mask = np.ones(query.catalogue.size, np.bool_)
        mask[query.catalogue.known_slots(query.state.seen)] = False
        return mask[slots]
