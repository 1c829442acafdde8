"""Vectors in 8 bits a number, to find out which of many may have the largest products with one.

A number is its code times the scale of its row, so a product is off by at most

    scale_r · (½ Σ |u| + what the codes of u, of 16 bits, are off)

and what may be among the best is all whose upper bound reaches what the lower bounds of so many reach: of 10,000 × 193
random numbers some 170 for the best 80. Those are then multiplied as they are. Products of 10,000 × 193 take .07 ms on
one core, of 100,000 .7; in 16 bits .09 and 1.6, in single precision .13 and 11.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled_sums
from .selection import reached, reaching

MOST = 127
MOST_OF_USER = 32_767
NONE = np.float32(-1.0)
"""The scale of a row that there is no vector of any more."""


class PackedVectors:
    """Rows of codes, each of one slot. A product is vector · user + offset. room: for how many at first."""

    def __init__(self, dim: int, room: int = 0) -> None:
        self.dim = dim
        self._count = 0
        self._slots = np.zeros(room, np.int32)
        self._codes, self._scales, self._offsets = _rows(room, dim)
        self._rows = np.empty(0, np.int32)

    def put(
        self, slots: NDArray[np.integer], vectors: NDArray[np.float32], offsets: NDArray[np.float32] | None = None
    ) -> None:  # fmt: skip
        """Takes over vectors (n, ≥ dim), of which the first dim numbers count, of slots (n,), in place of those that
        these had."""
        rows = self._rows_for(slots)
        self._codes[rows], self._scales[rows] = packed(vectors[:, : self.dim])
        self._offsets[rows] = 0.0 if offsets is None else offsets

    def drop(self, slots: NDArray[np.integer]) -> None:
        """Forgets the vectors of slots (n,)."""
        known = slots[slots < len(self._rows)]
        rows = self._rows[known]
        self._scales[rows[rows >= 0]] = NONE

    def likely(self, user: NDArray[np.float32], allowed: NDArray[np.bool_], depth: int) -> NDArray[np.int32]:
        """Slots (n,) among which are the `depth` largest products with user (dim,) of those that are allowed (N,), or
        all of these."""
        count = self._count
        lower, upper, may = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.bool_)
        most = min(MOST_OF_USER, (2**31 - 1) // (MOST * max(self.dim, 1)))  # sums are of 32 bits
        unit = np.float32(max(float(np.abs(user).max(initial=0.0)) / most, 1e-30))
        # One part in 500 more, for the rounding of the products themselves.
        width = np.float32(0.501 * np.abs(user).sum() + 0.5 * unit * MOST * self.dim)
        of_user = np.rint(user / unit).astype(np.int16)
        _bounds(
            self._codes[:count], self._scales, self._offsets, self._slots, allowed, of_user, unit, width, lower, upper,
            may,
        )  # fmt: skip
        return self._slots[reaching(upper, may, -np.inf, reached(lower, may, -np.inf, depth))]

    def _rows_for(self, slots: NDArray[np.integer]) -> NDArray[np.int32]:
        """(n,): of slots, new ones for those that have none."""
        if (room := int(slots.max(initial=-1)) + 1) > len(self._rows):
            missing = max(room, 2 * len(self._rows)) - len(self._rows)
            self._rows = np.concatenate([self._rows, np.full(missing, -1, np.int32)])
        new = slots[self._rows[slots] < 0]
        count = self._count + len(new)
        if count > len(self._scales):
            more = max(count, 2 * self._count) - len(self._scales)
            self._slots = np.concatenate([self._slots, np.zeros(more, np.int32)])
            self._codes, self._scales, self._offsets = (
                np.concatenate([mine, theirs])
                for mine, theirs in zip((self._codes, self._scales, self._offsets), _rows(more, self.dim), strict=True)
            )
        self._slots[self._count : count] = new
        self._rows[new] = np.arange(self._count, count, dtype=np.int32)
        self._count = count
        rows: NDArray[np.int32] = self._rows[slots]
        return rows


def packed(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes (n, dim) and scales (n,) of vectors (n, dim): a number is its code times the scale of its row.

    >>> codes, scales = packed(np.array([[2.0, -1.0], [0.0, 0.0]], np.float32))
    >>> codes.tolist(), (codes[0] * scales[0]).round(2).tolist()
    ([[127, -64], [0, 0]], [2.0, -1.01])
    """
    scales = (np.abs(vectors).max(axis=1, initial=0.0) / MOST).astype(np.float32)
    codes = np.rint(vectors / np.where(scales > 0, scales, np.float32(1.0))[:, None])
    return np.clip(codes, -MOST, MOST).astype(np.int8), scales


def products(
    vectors: NDArray[np.float32], offsets: NDArray[np.float32] | None, rows: NDArray[np.integer],
    user: NDArray[np.float32], absent: float,
) -> NDArray[np.float64]:  # fmt: skip
    """(n,): of rows (n,) of vectors, in single precision, with user (≤ dim,), whose numbers belong to the first
    columns, and offsets; `absent` for row −1."""
    scores = np.empty(len(rows))
    _products(vectors, _NO_OFFSETS if offsets is None else offsets, rows, user, absent, scores)
    return scores


_NO_OFFSETS = np.empty(0, np.float32)


def _rows(count: int, dim: int) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    return np.zeros((count, dim), np.int8), np.zeros(count, np.float32), np.zeros(count, np.float32)


@compiled_sums
def _bounds(
    codes: Any, scales: Any, offsets: Any, slots: Any, allowed: Any, user: Any, unit: Any, width: Any, lower: Any,
    upper: Any, may: Any,
) -> None:  # fmt: skip
    for row in range(len(codes)):
        total = np.int32(0)
        for at in range(len(user)):
            total = np.int32(total + np.int32(codes[row, at]) * np.int32(user[at]))
        lower[row] = np.float32(total)
    for row in range(len(codes)):  # loops of their own, of which a processor does several turns at a time
        product, room = lower[row] * (scales[row] * unit) + offsets[row], scales[row] * width
        lower[row], upper[row] = product - room, product + room
    for row in range(len(codes)):
        may[row] = allowed[slots[row]] and scales[row] >= 0


@compiled_sums
def _products(vectors: Any, offsets: Any, rows: Any, user: Any, absent: Any, scores: Any) -> None:
    for at in range(len(rows)):
        row = rows[at]
        if row < 0:
            scores[at] = absent
            continue
        total = np.float32(0)
        for column in range(len(user)):
            total += vectors[row, column] * user[column]
        scores[at] = total + (offsets[row] if len(offsets) else np.float32(0))
