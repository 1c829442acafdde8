"""Holds back what this session showed already."""

from ..masks import HoldsFew
from ..stages import Query, Slots


class Served(HoldsFew):
    """Drops posts that another list of the same `session_id` showed; within a list, pages never share one."""

    name = "served"

    def held(self, query: Query) -> Slots:
        return query.served
