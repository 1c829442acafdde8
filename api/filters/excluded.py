"""Holds back what the request names."""

from ..masks import HoldsFew
from ..stages import Query, Slots


class Excluded(HoldsFew):
    """Drops the posts of the parameter `exclude`."""

    name = "excluded"

    def held(self, query: Query) -> Slots:
        return query.catalogue.known_slots(query.exclude)
