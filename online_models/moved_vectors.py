"""Which vectors of users have moved since feeds were told: replays move those of users who do nothing meanwhile."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOOKED = 2_000
"""Users looked at with each publication, .2 ms, and told at most: 50,000 have all had their turn after 25 s."""
MOVED = 0.1
"""Of a vector's length, beyond which it is told again. On ML-100K the vector of a user who did nothing for 1,000 events
moved by .03, for 10,000 events by .17, and for 30,000 by .28: then .15 of the 80 best posts by it are others."""


class MovedVectors:
    """Remembers what was told of `rows` vectors (dim,)."""

    def __init__(self, rows: int, dim: int) -> None:
        self._told = np.zeros((rows, dim), np.float32)
        self._turn = 0

    def tell(self, rows: NDArray[np.integer], vectors: NDArray[np.float32]) -> None:
        """Vectors (n, dim) of rows (n,) are published."""
        self._told[rows] = vectors

    def next(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Rows, of the next LOOKED of those with vectors (size, dim), whose vectors are not as they were told."""
        size = len(vectors)
        rows = np.unique((self._turn + np.arange(min(LOOKED, size))) % max(size, 1))
        self._turn = (self._turn + LOOKED) % max(size, 1)
        away = _lengths(vectors[rows] - self._told[rows]) > MOVED * _lengths(vectors[rows])
        return np.asarray(rows[away], np.int64)


def _lengths(vectors: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(np.sqrt((vectors * vectors).sum(axis=1)), np.float32)
