"""Holds back what the request names."""

from ..masks import none_of
from ..stages import Mask, Query, Slots


class Excluded:
    """Drops the posts of the parameter `exclude`."""

    name = "excluded"

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return none_of(query, query.catalogue.known_slots(query.exclude), slots)
