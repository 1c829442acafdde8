"""The last solution of online_models.ease, by slot of the catalogue."""

import numpy as np
from numpy.typing import NDArray

from online_models.ease import PAST, summed
from schemas.ease import EaseWeights

from .catalogue import Catalogue


class LearntEase:
    """weights: by post. slots (m,): of those posts."""

    def __init__(self, catalogue: Catalogue, weights: EaseWeights) -> None:
        self.weights = weights
        self.slots = np.array(catalogue.slots_of(weights.ids.tolist()), np.int32)
        self._rows = {slot: row for row, slot in enumerate(self.slots.tolist())}

    def scores(self, past: NDArray[np.int32]) -> NDArray[np.float32]:
        """(m,), ≥ 0: what the last posts (q,), newest first, say for each."""
        sums = summed(self.rows(past[:PAST]), self.weights.codes)
        found: NDArray[np.float32] = np.maximum(sums, np.float32(0.0)) * np.float32(self.weights.unit)
        return found

    def rows(self, slots: NDArray[np.integer]) -> NDArray[np.int32]:
        """(n,): of slots (n,), −1 for those that have none."""
        return np.array([self._rows.get(slot, -1) for slot in slots.tolist()], np.int32)

    def between(self, past: NDArray[np.integer], slots: NDArray[np.integer]) -> NDArray[np.float64]:
        """(q, n): how much each of the past says for each of slots (n,)."""
        first, second = self.rows(past), self.rows(slots)
        known = (first >= 0)[:, None] & (second >= 0)
        return np.where(known, self.weights.codes[np.ix_(first, second)] * self.weights.unit, 0.0)
