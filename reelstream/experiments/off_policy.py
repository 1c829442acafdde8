"""What another policy would have earned, from what the one that served showed, with which chance, and what followed.

Self-normalised inverse propensity scoring (Swaminathan and Joachims, NIPS 2015), weights w = target / logged:

    value = Σ w · reward / Σ w        effective sample size = (Σ w)² / Σ w²

Only for targets that show nothing that the logged policy never shows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .anytime import Estimate, ratio


@dataclass(frozen=True)
class OffPolicy:
    """estimate: of the reward a showing, its variance by users; None for fewer than two. shown: places that were
    weighed. effective: showings without weights that tell as much."""

    estimate: Estimate | None
    shown: int
    effective: float


def snips(rewards: ArrayLike, logged: ArrayLike, target: ArrayLike, users: ArrayLike) -> OffPolicy:
    """rewards (n,) of showings; logged (n,), above 0: the chance that each had; target (n,): the one that it would have
    had, but for a factor that all have in common; users (n,): whom they were shown to, whole numbers."""
    reward, readers = np.asarray(rewards, np.float64), np.asarray(users, np.int64)
    weights = np.asarray(target, np.float64) / np.asarray(logged, np.float64)
    if not len(weights):
        return OffPolicy(None, 0, 0.0)
    squares = float(weights @ weights)
    _, reader = np.unique(readers, return_inverse=True)
    return OffPolicy(
        ratio(np.bincount(reader, weights * reward), np.bincount(reader, weights)),
        len(weights),
        float(weights.sum()) ** 2 / squares if squares else 0.0,
    )
