"""Memory that was freed, given back to the system."""

import ctypes
from functools import cache
from typing import Any


def give_back() -> None:
    """To be called after what takes much for a moment: a model of 100,000 posts left 100 MB free in the arena of the
    thread that unpacked it, which nothing else uses. 1 to 10 ms, without the interpreter. Nothing where the C library
    has no malloc_trim."""
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
