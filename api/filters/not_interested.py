"""Holds back what the user turned down."""

from ..masks import HoldsFew
from ..stages import Query, Slots


class NotInterested(HoldsFew):
    """Drops posts the user hid, disliked or reported and did not take back."""

    name = "not_interested"
    of_state = True

    def held(self, query: Query) -> Slots:
        return query.catalogue.known_slots(query.state.excluded)
