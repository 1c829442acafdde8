"""Holds back what this session showed already."""

from ..masks import none_of
from ..stages import Mask, Query, Slots


class Served:
    """Drops posts that another list of the same `session_id` showed; within a list, pages never share one."""

    name = "served"

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return none_of(query, query.served, slots)
