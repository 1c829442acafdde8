"""Holds back what the user has met."""

from ..masks import HoldsFew
from ..stages import Query, Slots


class Seen(HoldsFew):
    """Drops posts the user viewed, liked or met in any other way."""

    name = "seen"
    of_state = True

    def held(self, query: Query) -> Slots:
        return query.catalogue.known_slots(query.state.seen)
