"""Holds back what is older than is wanted."""

from schemas.settings import Settings

from ..masks import everything, younger_than
from ..stages import Mask, Query, Slots


class Age:
    """Drops posts that are older than MAX_POST_AGE_DAYS, or than the request allows; and, where there is a limit, those
    that do not tell their age."""

    name = "age"

    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_post_age_days

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        limits = [days for days in (self._most, query.max_age_days) if days is not None]
        if not limits:
            return everything(query, slots)
        return younger_than(query, min(limits), slots)
