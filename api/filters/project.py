"""Holds back other projects than the one asked for."""

from ..masks import meant_by
from ..stages import Mask, Query, Slots


class Project:
    """Drops posts of other projects, when the request names one (api/matching.py)."""

    name = "project"

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return meant_by(query, query.project, slots)
