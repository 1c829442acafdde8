"""Holds back other projects than the one asked for."""

import numpy as np

from ..stages import Mask, Query, Slots


class Project:
    """Drops posts of other projects, when the request names one (api/matching.py)."""

    name = "project"

    def keep(self, query: Query, slots: Slots) -> Mask:
        if query.project is None:
            return np.ones(len(slots), np.bool_)
        return query.project.of(query.catalogue, slots)
