"""Vectors in 8 bits a number, to find out which of many may have the largest products with one.

A number is its code times the scale of its row, so a product is off by at most

    scale_r · (½ Σ |u| + what the codes of u, of 16 bits, are off)

and what may be among the best is all whose upper bound reaches what the lower bounds of so many reach: of 10,000 × 193
random numbers some 170 for the best 80. Those are then multiplied as they are. Products of 10,000 × 193 take .07 ms on
one core, of 100,000 .7; in 16 bits .09 and 1.6, in single precision .13 and 11.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled, compiled_sums
from .selection import ranked, reached, reaching

MOST = 127
MOST_OF_USER = 32_767
MOST_SUM = 2**31 - 1
NONE = np.float32(-1.0)
"""The scale of a row that there is no vector of any more."""


NO_OFFSETS = np.empty(0, np.float32)
Out = NDArray[np.float64]


class Vectors(NamedTuple):
    """In single precision: vectors (n, ≥ dim) and which row of them is that of a slot, rows (N,), −1 for none; offsets
    (≥ N,) by slot, or empty."""

    vectors: NDArray[np.float32]
    rows: NDArray[np.integer]
    offsets: NDArray[np.float32] = NO_OFFSETS


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

    def best(
        self, user: NDArray[np.float32], allowed: NDArray[np.bool_], vectors: Vectors, above: float,
        best: NDArray[np.int32],
    ) -> int:  # fmt: skip
        """Fills best (depth,) with the slots of the largest products with user (dim,) that are above a limit, of those
        that are allowed (N,), the largest first, equals by slot; returns how many there are. vectors: in single
        precision, of all slots."""
        count: int = _best(
            self._codes[: self._count], self._scales, self._offsets, self._slots, user, allowed, *vectors, above, best
        )
        return count

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


def products(vectors: Vectors, slots: NDArray[np.integer], user: NDArray[np.float32], absent: float, out: Out) -> None:
    """Fills out (n,): vectors of slots (n,) · user (≤ dim,), whose numbers belong to the first columns, and offsets;
    `absent` for a slot without one."""
    _products(*vectors, slots, user, absent, out)


def _rows(count: int, dim: int) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    return np.zeros((count, dim), np.int8), np.zeros(count, np.float32), np.zeros(count, np.float32)


@compiled
def _best(
    codes: Any, scales: Any, offsets: Any, slots: Any, user: Any, allowed: Any, vectors: Any, rows: Any, added: Any,
    above: Any, best: Any,
) -> int:  # fmt: skip
    lower, upper = np.empty(len(codes), np.float32), np.empty(len(codes), np.float32)
    may = np.empty(len(codes), np.bool_)
    _bounds(codes, scales, offsets, slots, user, allowed, lower, upper, may)
    found, none = np.empty(len(codes), np.int32), np.float32(-np.inf)
    count = reaching(upper, may, none, reached(lower, may, none, len(best)), found)
    likely, exact = slots[found[:count]], np.empty(count)
    _products(vectors, rows, added, likely, user, above, exact)
    return ranked(exact, likely, above, best)


@compiled_sums
def _bounds(
    codes: Any, scales: Any, offsets: Any, slots: Any, user: Any, allowed: Any, lower: Any, upper: Any, may: Any
) -> None:  # fmt: skip
    most, total = np.float32(1e-30), np.float32(0)
    for at in range(len(user)):
        most, total = max(most, abs(user[at])), total + abs(user[at])
    unit = most / np.float32(min(MOST_OF_USER, MOST_SUM // (MOST * max(len(user), 1))))
    # One part in 500 more, for the rounding of the products themselves.
    width = np.float32(0.501) * total + np.float32(0.5 * MOST) * unit * np.float32(len(user))
    of_user = np.empty(len(user), np.int16)
    for at in range(len(user)):
        of_user[at] = np.int16(np.rint(user[at] / unit))
    for row in range(len(codes)):
        product = np.int32(0)
        for at in range(len(of_user)):
            product = np.int32(product + np.int32(codes[row, at]) * np.int32(of_user[at]))
        lower[row] = np.float32(product)
    for row in range(len(codes)):  # loops of their own, of which a processor does several turns at a time
        middle, room = lower[row] * (scales[row] * unit) + offsets[row], scales[row] * width
        lower[row], upper[row] = middle - room, middle + room
    for row in range(len(codes)):
        may[row] = allowed[slots[row]] and scales[row] >= 0


@compiled_sums
def _products(vectors: Any, rows: Any, added: Any, slots: Any, user: Any, absent: Any, scores: Any) -> None:
    for at in range(len(slots)):
        slot = slots[at]
        row = rows[slot]
        if row < 0:
            scores[at] = absent
            continue
        total = np.float32(0)
        for column in range(len(user)):
            total += vectors[row, column] * user[column]
        scores[at] = total + (added[slot] if len(added) else np.float32(0))
