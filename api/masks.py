"""Masks that several filters have in common, each (n,) for slots (n,) or all of them as a slice: True stays."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .matching import Match
from .stages import Mask, Query, Slots


def everything(query: Query, slots: Slots | slice) -> Mask:
    """Read-only: most filters hold nothing back from most requests, and share one."""
    return _all(query.catalogue.size if isinstance(slots, slice) else len(slots))


@lru_cache(64)
def _all(size: int) -> Mask:
    mask = np.ones(size, np.bool_)
    mask.flags.writeable = False
    return mask


def none_of(query: Query, dropped: NDArray[np.integer], slots: Slots | slice) -> Mask:
    """All but the slots `dropped` (d,)."""
    if not len(dropped):
        return everything(query, slots)
    mask = np.ones(query.catalogue.size, np.bool_)
    mask[dropped] = False
    return mask[slots]


class HoldsFew:
    """A filter that names the posts that it holds back: to take them out of what is kept costs less than a mask."""

    def held(self, query: Query) -> NDArray[np.integer]:
        """Slots (d,)."""
        raise NotImplementedError

    def keep(self, query: Query, slots: Slots | slice) -> Mask:
        return none_of(query, self.held(query), slots)


def by_none_of(query: Query, authors: Sequence[int], slots: Slots | slice) -> Mask:
    """All but posts of `authors`, by code of Catalogue.author_codes."""
    if not authors:
        return everything(query, slots)
    return np.isin(query.catalogue.written_by[slots], authors, invert=True)


def younger_than(query: Query, days: float, slots: Slots | slice) -> Mask:
    """Those that were made within the last `days`; not those without a date."""
    created = query.catalogue.created_at[slots]
    return np.asarray((created > 0) & (query.now - created <= days * 86_400.0))


def meant_by(query: Query, match: Match | None, slots: Slots | slice) -> Mask:
    """Those that the request narrows the feed to; all when it does not."""
    if match is None:
        return everything(query, slots)
    return match.of(query.catalogue, slots)
