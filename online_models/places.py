"""Places: which row of a slab belongs to which post, looked up for whole arrays at once.

A dict takes 76 ns a lookup once ids come and go as arrays, and an event has 30 of them; the table takes 6 ns. It
repeats what the dict says: open addressing, at most half full.
"""

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

FIRST_ROWS = 256
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio, odd: Knuth's multiplicative hashing spreads ids that follow each other."""
_NOBODY = np.int64(-1)


class Places:
    """Rows for posts: taken one after the other, and taken again once they were given back.

    rows: post → row. size: rows that a slab needs, doubled when they run out.
    """

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.size = FIRST_ROWS
        self._free = list(range(FIRST_ROWS))[::-1]
        self._index()

    def find(self, post_ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """The row of each post; −1 where it has none."""
        found = np.empty(len(post_ids), np.int32)
        _find(self._keys, self._found, post_ids, found)
        return found

    def take(self, post_id: int) -> int:
        """The row of a post, a free one when it had none."""
        row = self.rows.get(post_id)
        if row is None:
            if not self._free:
                self._free = list(range(self.size, 2 * self.size))[::-1]
                self.size *= 2
                self._index()
            row = self.rows[post_id] = self._free.pop()
            _insert(self._keys, self._found, np.array([post_id]), np.array([row], np.int32))
        return row

    def give_back(self, post_id: int) -> int | None:
        """Frees the row of a post, and returns it; None when it had none."""
        row = self.rows.pop(post_id, None)
        if row is not None:
            self._free.append(row)
            _remove(self._keys, self._found, np.int64(post_id))
        return row

    def _index(self) -> None:
        self._keys = np.full(2 * self.size, _NOBODY)
        self._found = np.full(2 * self.size, -1, np.int32)
        count = len(self.rows)
        rows = np.fromiter(self.rows.values(), np.int32, count)
        _insert(self._keys, self._found, np.fromiter(self.rows, np.int64, count), rows)


@compiled
def _slot(keys: NDArray[np.int64], post_id: np.int64) -> np.int64:
    """Where a post stands in the table, or where it would."""
    mask = len(keys) - 1
    at = np.int64((np.uint64(post_id) * _MULTIPLIER) >> np.uint64(32)) & mask
    while keys[at] != post_id and keys[at] != _NOBODY:
        at = (at + 1) & mask
    return at


@compiled
def _find(
    keys: NDArray[np.int64], rows: NDArray[np.int32], post_ids: NDArray[np.int64], found: NDArray[np.int32]
) -> None:
    for number in range(len(post_ids)):
        found[number] = rows[_slot(keys, post_ids[number])]


@compiled
def _insert(
    keys: NDArray[np.int64], rows: NDArray[np.int32], post_ids: NDArray[np.int64], places: NDArray[np.int32]
) -> None:
    for number in range(len(post_ids)):
        at = _slot(keys, post_ids[number])
        keys[at], rows[at] = post_ids[number], places[number]


@compiled
def _remove(keys: NDArray[np.int64], rows: NDArray[np.int32], post_id: np.int64) -> None:
    """Takes a post out, and puts those after it anew that would no longer be found past the gap."""
    mask = len(keys) - 1
    at = _slot(keys, post_id)
    keys[at], rows[at] = _NOBODY, -1
    at = (at + 1) & mask
    while keys[at] != _NOBODY:
        moved, row = keys[at], rows[at]
        keys[at], rows[at] = _NOBODY, -1
        place = _slot(keys, moved)
        keys[place], rows[place] = moved, row
        at = (at + 1) & mask
