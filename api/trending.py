"""What gathers interactions now, ranked, and how each post moved."""

import numpy as np

from schemas.trending import WINDOWS

from .matching import Match
from .stages import Mask, Query, Slots

NAMES = tuple(WINDOWS)


def ranked(query: Query, kept: Mask, window: str, most: int) -> tuple[Slots, int]:
    """The first `most` slots by decayed sum, and how many there are. Equals by id."""
    scores = query.decayed(NAMES.index(window))
    slots = np.flatnonzero(kept & (scores > 0))
    count = len(slots)
    if count > most:
        least = np.partition(scores[slots], count - most)[count - most]
        slots = slots[scores[slots] >= least]
    return slots[np.lexsort((query.catalogue.ids[slots], -scores[slots]))][:most], count


def moves(query: Query, matches: list[Match], past: Slots, now: list[int]) -> list[int | None]:
    """Of each slot of `now`, places gained since the list of `past`, both of the same posts; None for one not in it."""
    for match in matches:
        past = past[match.of(query.catalogue, past)]
    before = {slot: place for place, slot in enumerate(past.tolist())}
    return [before[slot] - place if slot in before else None for place, slot in enumerate(now)]
