"""Popularity: everyone gets the same, posts by the number of users who liked them. The least a model has to beat."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.events import InteractionType

from .dataset import Interactions, liked


class Popular:
    """counts (posts,): users who liked the post, each 1 or less."""

    def __init__(self, counts: NDArray[np.float32]) -> None:
        self._counts = counts

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.tile(self._counts, (len(users), 1))


class Popularity:
    name = "popularity"

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Popular:
        return Popular(np.asarray(liked(part, weights).sum(axis=0), np.float32).ravel())
