"""Holds back what the request names."""

import numpy as np

from ..stages import Mask, Query, Slots


class Excluded:
    """Drops the posts of the parameter `exclude`."""

    name = "excluded"

    def keep(self, query: Query, slots: Slots) -> Mask:
        mask = np.ones(query.catalogue.size, np.bool_)
        mask[query.catalogue.known_slots(query.exclude)] = False
        return mask[slots]
