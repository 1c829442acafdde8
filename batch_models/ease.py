"""EASE (Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019): item-item weights in closed form."""

from collections.abc import Mapping

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from schemas.events import InteractionType

from .dataset import Interactions, liked
from .linear import Linear, recent_past, whole_past

MOST_POSTS = 12_000
"""The best known posts take part: the inverse of 12,000 × 12,000 floats takes 1.2 GB while it is made."""


class Ease:
    """penalty: λ, what a cell of the Gram matrix's diagonal gets on top. recency: as in item_based.py."""

    def __init__(self, penalty: float, recency: float | None = None) -> None:
        self.name = f"ease-{penalty:g}"
        self._penalty, self._recency = penalty, recency

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Linear:
        cells = liked(part, weights)
        met = np.asarray(cells.sum(axis=0)).ravel()
        posts = np.sort(np.argsort(-met, kind="stable")[: min(MOST_POSTS, np.count_nonzero(met))])
        cells = cells[:, posts]
        history = whole_past(weights) if self._recency is None else recent_past(weights, self._recency)
        return Linear(item_weights((cells.T @ cells).toarray(), self._penalty), history, posts)


def item_weights(gram: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """B = I − P · diag(P)⁻¹ with P = (G + λI)⁻¹; its diagonal is 0. gram (k, k) is overwritten."""
    places = np.arange(len(gram))
    gram[places, places] += penalty
    # Of a positive definite matrix, by Cholesky: half the time and memory of a general inverse.
    factor, _ = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    lower, _ = scipy.linalg.lapack.get_lapack_funcs(("potri",), (factor,))[0](factor, lower=True, overwrite_c=True)
    inverse: NDArray[np.float32] = np.tril(lower) + np.tril(lower, -1).T
    inverse /= -np.diag(inverse)[None, :].copy()
    inverse[places, places] = 0.0
    return inverse
