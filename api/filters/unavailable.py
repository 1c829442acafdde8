"""Holds back what may not be shown to anybody."""

from ..stages import Mask, Query, Slots


class Unavailable:
    """Drops posts that are locked, not in the public feed, deleted, or whose row has not come yet."""

    name = "unavailable"

    def keep(self, query: Query, slots: Slots) -> Mask:
        return query.catalogue.servable[slots]
