"""Vectors in 16 bits a number, for products of all of them with one: half of the memory to read is half of the time.

Of 10,000 × 193 numbers on one core, .09 ms in place of .2 to .3 by numpy's product of single precision, of 100,000 rows
1.3 in place of 14 ms. Products are off by 3 · 10⁻⁵ of their standard deviation. With 8 bits it takes as long at 10,000
and three quarters at 100,000, and is off by .7 %, which changes the order.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled_sums

MOST = 32_767
NONE = np.float32(-1.0)
"""The scale of a row that there is no vector of."""


def packed(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Codes (n, dim) and scales (n,) of vectors (n, dim): a number is its code times the scale of its row.

    >>> codes, scales = packed(np.array([[2.0, -1.0], [0.0, 0.0]], np.float32))
    >>> codes.tolist(), (codes[0] * scales[0]).round(3).tolist()
    ([[32767, -16384], [0, 0]], [2.0, -1.0])
    """
    scales = (np.abs(vectors).max(axis=1, initial=0.0) / MOST).astype(np.float32)
    codes = np.rint(vectors / np.where(scales > 0, scales, np.float32(1.0))[:, None])
    return np.clip(codes, -MOST, MOST).astype(np.int16), scales


def products(
    codes: NDArray[np.int16], scales: NDArray[np.float32], vector: NDArray[np.float32], absent: float
) -> NDArray[np.float32]:
    """(n,): rows · vector (≤ dim,), whose numbers belong to the first columns; `absent` for rows without a vector."""
    scores = np.empty(len(codes), np.float32)
    _products(codes, scales, np.ascontiguousarray(vector, np.float32), scores)
    scores[scales < 0] = absent
    return scores


@compiled_sums
def _products(codes: Any, scales: Any, vector: Any, scores: Any) -> None:
    for row in range(len(codes)):
        total = np.float32(0)
        for at in range(len(vector)):
            total += np.float32(codes[row, at]) * vector[at]
        scores[row] = total * scales[row]
