"""Inner loops in machine code."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compiles a function for each kind of arguments it is called with: about a second the first time.

    The result is kept beside the module, or else in the user's cache directory; numba refuses to import where neither
    can be written to, as in a container with a read-only file system. There it is compiled at each start.
    """
    return _compiled(function, False)


def compiled_sums(function: F) -> F:
    """The same for sums of products whose order doesn't matter: several at a time. Not for what has infinities."""
    return _compiled(function, {"nsz", "arcp", "contract", "afn", "reassoc"})


def compiled_orders(function: F) -> F:
    """The same for the largest or smallest of several at a time. Not for what has NaN."""
    return _compiled(function, {"nnan", "nsz"})


def _compiled(function: F, fastmath: bool | set[str]) -> F:
    try:
        return cast(F, numba.njit(cache=True, nogil=True, fastmath=fastmath)(function))
    except RuntimeError:
        return cast(F, numba.njit(nogil=True, fastmath=fastmath)(function))
