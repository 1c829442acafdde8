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
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(F, numba.njit(nogil=True)(function))
