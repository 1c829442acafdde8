"""A user's last events as the deep model reads them: what it is trained on and what a feed asks it with is one code."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.events import TYPE_CODES
from schemas.history import TYPE_BITS, TYPE_MASK, History

LENGTH = 50
"""Events that the model looks at, the newest."""
GAPS = 16
NO_GAP = GAPS - 1
"""Of an event that nothing came before."""


class EventSequence(NamedTuple):
    """Events, oldest first, (T,) each. posts: ids. types: schemas.events.TYPE_CODES. values: 0 to 1, the watched
    fraction, a rating's share of 100, else 1. gaps: gap_buckets of the time since the event before."""

    posts: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float32]
    gaps: NDArray[np.int64]


def of_history(history: History) -> EventSequence:
    """The newest LENGTH events of a user's state."""
    kinds = np.array(history.kinds[-LENGTH:], np.int64)
    gaps, known = np.full(len(kinds), NO_GAP), history.gaps[-LENGTH:]
    gaps[len(kinds) - len(known) :] = gap_buckets(np.array(known, np.float64) / 1000)
    types = kinds & TYPE_MASK
    return EventSequence(
        np.array(history.posts[-LENGTH:], np.int64), types, shares(types, (kinds >> TYPE_BITS) / 1000), gaps
    )


def gap_buckets(seconds: NDArray[Any]) -> NDArray[np.int64]:
    """Buckets 0 to GAPS − 2 of times between events, twice as wide each: 0 is below 2 s, 13 is 4.5 hours, and the last
    all from 9 hours on."""
    buckets = np.log2(1.0 + np.maximum(seconds, 0.0) / 2.0).astype(np.int64)
    return np.asarray(np.minimum(buckets, GAPS - 2))


def shares(types: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float32]:
    """Values brought to 0 … 1."""
    whole = np.where(types == TYPE_CODES["rating"], 100.0, 1.0)
    return np.minimum(values / whole, 1.0).astype(np.float32)
