"""Holds back authors whom the user blocked, or who blocked the user."""

from ..masks import by_none_of
from ..stages import Mask, Query, Slots


class Blocked:
    """Drops posts of the authors in `blocked_authors` of the user row's attributes."""

    name = "blocked"

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return by_none_of(query, query.blocked, slots)
