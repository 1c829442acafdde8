"""Implicit-feedback ALS (Hu, Koren, Volinsky, ICDM 2008) of the library `implicit`: a yardstick, an optional extra."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from schemas.errors import ReelstreamError
from schemas.events import InteractionType

from .dataset import Interactions, liked

ALPHA = 10.0
ITERATIONS = 15


class NotInstalled(ReelstreamError):
    """A yardstick is left out, as its library is not there."""


class Factors:
    """A trained `implicit` model; users are folded in from their histories."""

    def __init__(self, model: Any, weights: Mapping[InteractionType, float]) -> None:
        self._model, self._weights = model, weights

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        vectors = self._model.recalculate_user(np.arange(len(users)), liked(before.of_users(users), self._weights))
        scores: NDArray[np.float32] = vectors @ self._model.item_factors.T
        return scores


class Als:
    """regularisation: the library's."""

    def __init__(self, factors: int, regularisation: float) -> None:
        self.name = f"als-{factors}"
        self._factors, self._regularisation = factors, regularisation

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Factors:
        """Raises NotInstalled without the library."""
        try:
            from implicit.cpu.als import AlternatingLeastSquares
        except ImportError:
            raise NotInstalled(f"{self.name} is left out, it needs: pip install 'reelstream[yardsticks]'") from None
        with threadpool_limits(1, "blas"):  # the library has threads of its own, and warns of any beside them
            return Factors(self._trained(AlternatingLeastSquares, liked(part, weights), seed), weights)

    def _trained(self, library: Any, cells: sp.csr_matrix, seed: int) -> Any:
        model = library(
            factors=self._factors, regularization=self._regularisation, alpha=ALPHA, iterations=ITERATIONS,
            random_state=seed,
        )  # fmt: skip
        model.fit(cells, show_progress=False)
        return model
