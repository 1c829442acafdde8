"""Negative feedback: what a candidate has in common with the posts that the user turned against.

A dislike (exit, not_interested, report), a rating of LOW_RATING or less, a view shorter than SHORT_VIEW: the post is
met, and never shown again; its neighbours, author and tags count less for this user, at once, as the blend begins with
a weight of START for each of these features, and learns from there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.events import INTERACTION_TYPES, NEGATIVE_TYPES

from .compiled import compiled
from .post_columns import Rows

NAMES = ("disliked_neighbour", "disliked_author", "disliked_tags")
START = -1.0
"""In units of a blend: what 10 sources that put a candidate in the middle instead of first count together."""
MOST = 10
"""Dislikes remembered for this, the newest; each counts DECAY of the one after it."""
DECAY = 0.9
LOW_RATING, SHORT_VIEW = 20_000, 30
"""In thousandths, as events carry values: one star of five, 3 % of a video."""

NEGATIVE = np.array([name in NEGATIVE_TYPES for name in INTERACTION_TYPES])
"""By type code: whether it is a dislike."""
_RATING, _VIEW = INTERACTION_TYPES.index("rating"), INTERACTION_TYPES.index("view")


def dislikes(type_codes: NDArray[np.integer], values_milli: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(n,): which of the events say that the user turned against the post."""
    low = (type_codes == _RATING) & (values_milli <= LOW_RATING)
    return np.asarray(NEGATIVE[type_codes] | low | ((type_codes == _VIEW) & (values_milli < SHORT_VIEW)))


def aversion(
    features: NDArray[np.float32], slots: NDArray[np.int32], places: NDArray[np.int32], disliked: NDArray[np.int32],
    author: NDArray[np.int32], tags: NDArray[np.int16], rows: Rows, strength: NDArray[np.float64], scale: float,
) -> None:  # fmt: skip
    """Fills features (n, 3), zeros before, from 0 to 1, in the order of NAMES; leaves them for a user who dislikes
    nothing.

    slots (n,): the candidates. places (N,): where among them a slot is, or −1. disliked (d,): slots, newest first.
    author (N,), tags (N, TAGS): codes. rows: of co-visitation, `found` those of disliked; strength (N,), scale: its.
    """
    if len(disliked):
        _fill(
            features, slots, places, disliked[:MOST], author, tags, rows.neighbours, rows.weights, rows.counts,
            rows.found, strength, scale,
        )  # fmt: skip


@compiled
def _fill(
    features: Any, slots: Any, places: Any, disliked: Any, author: Any, tags: Any, neighbours: Any, weights: Any,
    counts: Any, found: Any, strength: Any, scale: Any,
) -> None:  # fmt: skip
    fade = 1.0
    counts_of = np.zeros(len(slots), np.int64)
    for at in range(len(slots)):
        for tag in tags[slots[at]]:
            counts_of[at] += tag >= 0
    for q in range(len(disliked)):
        bad = disliked[q]
        row = found[q]
        if row >= 0:
            norm = strength[bad] * scale + 10.0
            for k in range(counts[row]):
                slot = neighbours[row, k]
                at = places[slot]
                if at >= 0:
                    near = np.sqrt(weights[row, k] * scale / np.sqrt(norm * (strength[slot] * scale + 10.0)))
                    features[at, 0] = max(features[at, 0], min(fade * near, 1.0))
        others = 0
        for tag in tags[bad]:
            others += tag >= 0
        for at in range(len(slots)):
            slot = slots[at]
            if author[slot] >= 0 and author[slot] == author[bad]:
                features[at, 1] = max(features[at, 1], fade)
            shared, own = 0, counts_of[at]
            for tag in tags[slot, :own]:  # those that are none come last
                for other in tags[bad, :others]:
                    shared += tag == other
            if shared:
                features[at, 2] = max(features[at, 2], fade * shared / (own + others - shared))
        fade *= DECAY
