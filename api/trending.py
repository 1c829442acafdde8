"""What gathers interactions now, ranked, and how each post moved."""

from typing import Any

import numpy as np

from schemas.trending import WINDOWS

from .items import item
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


def listed(query: Query, window: str, slots: list[int], moved: list[int | None]) -> list[dict[str, Any]]:
    """The posts of `slots` as answers show them, each with its rank, its score and the places it gained."""
    scores, posts = query.decayed(NAMES.index(window)), query.catalogue.posts
    return [
        {**item(post, query.state.reactions), "trending": {"rank": rank, "score": float(scores[slot]), "moved": change}}
        for rank, (slot, change) in enumerate(zip(slots, moved, strict=True), start=1)
        if (post := posts[slot]) is not None
    ]


def moves(query: Query, matches: list[Match], past: Slots, now: list[int]) -> list[int | None]:
    """Of each slot of `now`, places gained since the list of `past`, both of the same posts; None for one not in it."""
    for match in matches:
        past = past[match.of(query.catalogue, past)]
    before = {slot: place for place, slot in enumerate(past.tolist())}
    return [before[slot] - place if slot in before else None for place, slot in enumerate(now)]
