"""Which events count as positive: a post that the user is glad to have been shown."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ReelstreamError
from schemas.events import INTERACTION_TYPES, MEASURED_TYPES, NEGATIVE_TYPES

DEFAULT = ("like", "inspire", "share", "bookmark", "comment", "follow", "rating:80", "view:0.5")


class Positives:
    """Rules `TYPE[:MIN]`: events of that type, with a value of MIN or more.

    Examples
    --------
    >>> rules = Positives(["view:0.5", "like"])
    >>> rules.of(np.array([0, 0, 1]), np.array([400, 500, 1000])).tolist()
    [False, True, True]
    """

    def __init__(self, rules: Iterable[str] = DEFAULT) -> None:
        """Raises ReelstreamError for a rule that is none."""
        self.least = np.full(len(INTERACTION_TYPES), np.inf)
        for rule in rules:
            name, _, least = rule.partition(":")
            allowed = [each for each in INTERACTION_TYPES if each not in NEGATIVE_TYPES]
            try:
                minimum = float(least or 0.0)
            except ValueError:
                raise ReelstreamError(f"positive {rule!r}: {least!r} is no number") from None
            if name not in allowed:
                raise ReelstreamError(f"positive {rule!r}: {name!r} is none of {', '.join(allowed)}")
            if least and name not in MEASURED_TYPES:
                raise ReelstreamError(f"positive {rule!r}: only {' and '.join(sorted(MEASURED_TYPES))} have a value")
            self.least[INTERACTION_TYPES.index(name)] = minimum * 1000

    def of(self, type_codes: NDArray[np.int8], values_milli: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(n,): which of the events are positive; values in thousandths."""
        return np.asarray(values_milli >= self.least[type_codes])
