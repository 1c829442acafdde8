"""Holds back what the user turned down."""

from ..masks import none_of
from ..stages import Mask, Query, Slots


class NotInterested:
    """Drops posts the user hid, disliked or reported and did not take back."""

    name = "not_interested"
    of_state = True

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return none_of(query, query.catalogue.known_slots(query.state.excluded), slots)
