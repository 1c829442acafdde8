"""Ids of requests and of pages, which nobody can guess."""

import os
from collections.abc import Iterator

_BYTES = 16
_AT_ONCE = 256


def new_id() -> str:
    """32 hexadecimal digits from the system's random bytes, which are read for 256 ids at once: one at a time they are
    2 to 8 µs. For the thread of the event loop only."""
    return next(_ids)


def _endless() -> Iterator[str]:
    while True:
        digits = os.urandom(_BYTES * _AT_ONCE).hex()
        for start in range(0, len(digits), 2 * _BYTES):
            yield digits[start : start + 2 * _BYTES]


_ids = _endless()
