"""Holds back authors whom the user does not want to hear."""

from ..masks import by_none_of
from ..stages import Mask, Query, Slots


class AuthorMuted:
    """Drops posts of the authors in `muted_authors` of the user row's attributes."""

    name = "author_muted"

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return by_none_of(query, query.muted, slots)
