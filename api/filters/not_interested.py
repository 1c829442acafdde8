"""Holds back what the user turned down."""

import numpy as np

from ..stages import Mask, Query, Slots


class NotInterested:
    """Drops posts the user hid, disliked or reported and did not take back."""

    name = "not_interested"

    def keep(self, query: Query, slots: Slots) -> Mask:
        mask = np.ones(query.catalogue.size, np.bool_)
        mask[query.catalogue.known_slots(query.state.excluded)] = False
        return mask[slots]
