"""Holds back what the user has met."""

from ..masks import none_of
from ..stages import Mask, Query, Slots


class Seen:
    """Drops posts the user viewed, liked or met in any other way."""

    name = "seen"
    of_state = True

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return none_of(query, query.catalogue.known_slots(query.state.seen), slots)
