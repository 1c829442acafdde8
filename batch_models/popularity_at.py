"""Popularity of posts at any moment of the past: the decayed sums that a feed would have seen then."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from online_models.compiled import compiled
from online_models.decayed_counters import HALF_LIVES
from schemas.events import InteractionType

from .dataset import Interactions, event_strengths, standing


class PopularityAt:
    """Over the events of a part, but what was taken back in it."""

    def __init__(self, part: Interactions, weights: Mapping[InteractionType, float]) -> None:
        rows = np.flatnonzero(standing(part))
        rows = rows[np.argsort(part.posts[rows], kind="stable")]
        posts, self._at = part.posts[rows].astype(np.int64), part.at[rows]
        self._starts = np.searchsorted(posts, np.arange(len(part.post_ids) + 1))
        self._begin = float(part.at[0]) if len(part) else 0.0
        self._span = float(part.at[-1]) - self._begin + 2.0 if len(part) else 2.0
        self._keys = posts * self._span + (self._at - self._begin)
        gains = np.maximum(event_strengths(part, weights)[rows], 0.0)
        self._sums = np.zeros((len(rows) + 1, len(HALF_LIVES)))
        _decayed(posts, self._at, gains, np.array(HALF_LIVES), self._sums)

    def sums(self, posts: NDArray[np.int64], at: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 3): sums of posts (n,) just before `at` (n,), as online_models.decayed_counters has them then."""
        keys = posts * self._span + np.clip(at - self._begin, 0.0, self._span - 1.0)
        rows = np.searchsorted(self._keys, keys, side="left") - 1
        none = rows < self._starts[posts]
        rows = np.where(none, len(self._sums) - 1, rows)
        ages = at - self._at[np.minimum(rows, len(self._at) - 1)] if len(self._at) else np.zeros(len(posts))
        ages = np.where(none, 0.0, ages)
        return np.asarray(self._sums[rows] * np.exp2(-ages[:, None] / np.array(HALF_LIVES)))


@compiled
def _decayed(posts: Any, at: Any, gains: Any, half_lives: Any, sums: Any) -> None:
    """Fills sums (n, 3): of each post after each of its events, which are in time order."""
    for row in range(len(posts)):
        for number in range(len(half_lives)):
            before = 0.0
            if row and posts[row - 1] == posts[row]:
                before = sums[row - 1, number] * 2.0 ** (-(at[row] - at[row - 1]) / half_lives[number])
            sums[row, number] = before + gains[row]
