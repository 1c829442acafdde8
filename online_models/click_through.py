"""Click-through: how often posts were shown and then taken, decayed, for priors and for exploration.

An impression counts by the chance that its position is seen (online_models.examination), so that a post is not thought
worse of for standing low: clicks over expected clicks. It counts at once, as one without a click; the click that may
follow is entered as of the impression's time, which corrects that however late it comes: a fake negative, calibrated
(Ktena et al., RecSys 2019), without a time at which a page would be judged (Chapelle, KDD 2014).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from .examination import examination

HALF_LIFE = 7 * 86_400.0
"""Seconds."""
PRIOR = 20.0
"""Impressions that a prior stands for."""
_FAR = 60.0
"""Half-lives after which sums are brought to now: 2^60 of them still are exact enough in doubles."""


class ClickThrough(base.Base):  # type: ignore[misc]
    """Sums of slots, forward-decayed: shown (capacity,), in impressions that were seen, and taken (capacity,), clicks.

    Examples
    --------
    >>> model = ClickThrough(capacity=2)
    >>> model.learn_shown(np.array([0, 1]), position=0, at=0.0)
    >>> model.learn_taken(0, at=0.0)
    >>> shown, taken = model.counts(np.array([0, 1]))
    >>> shown.round(2).tolist(), taken.tolist()
    ([1.0, 0.63], [1.0, 0.0])
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.shown, self.taken = np.zeros(capacity), np.zeros(capacity)
        self._landmark = self._newest = 0.0

    def start(self, slot: int) -> None:
        """A post gets this slot: whatever was in it is forgotten."""
        self.shown[slot] = self.taken[slot] = 0.0

    def learn_shown(self, slots: NDArray[np.integer], position: int, at: float) -> None:
        """A page was served at event time `at`: slots (n,) in order, the first at `position` of the feed, −1 for a post
        that is not known."""
        weights = self._growth(at) * examination(position + np.arange(len(slots)))
        known = slots >= 0
        np.add.at(self.shown, slots[known], weights[known])

    def learn_taken(self, slot: int, at: float) -> None:
        """A post was taken that was shown at event time `at`."""
        self.taken[slot] += self._growth(at)

    def counts(self, slots: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shown and taken (n,), as of the newest page."""
        scale = 2.0 ** ((self._landmark - self._newest) / HALF_LIFE)
        return self.shown[slots] * scale, self.taken[slots] * scale

    def _growth(self, at: float) -> float:
        age = (at - self._landmark) / HALF_LIFE
        if age > _FAR:
            self.shown *= 2.0**-age
            self.taken *= 2.0**-age
            self._landmark, age = at, 0.0
        self._newest = max(self._newest, at)
        return float(2.0 ** max(age, -1000.0))

    def state(self, size: int) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps of the first `size` slots."""
        times = np.array([self._landmark, self._newest])
        return {"shown": self.shown[:size].copy(), "taken": self.taken[:size].copy(), "times": times}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        for name in ("shown", "taken"):
            getattr(self, name)[: len(state[name])] = state[name]
        self._landmark, self._newest = state["times"].tolist()


def beta(shown: NDArray[np.floating], taken: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Parameters (n,) of what is believed of the click-through of posts: a prior of PRIOR impressions with the mean of
    all of them, and what each had; both ≥ ½."""
    mean = (1.0 + taken.sum()) / (PRIOR + shown.sum())
    clicks = PRIOR * min(mean, 0.5) + taken
    # Impressions that count by their chance to be seen may be fewer than the clicks that they got.
    return np.maximum(clicks, 0.5), np.maximum(PRIOR * (1.0 - min(mean, 0.5)) + shown - taken, 0.5)
