"""Holds back other categories than the one asked for."""

from ..masks import meant_by
from ..stages import Mask, Query, Slots


class Category:
    """Drops posts of other categories, when the request names one."""

    name = "category"

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return meant_by(query, query.category, slots)
