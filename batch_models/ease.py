"""EASE (Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019): item-item weights in closed form."""

from collections.abc import Mapping

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from online_models.positives import Positives
from schemas.events import InteractionType

from .dataset import Interactions, liked, wanted
from .linear import Linear, recent_past, whole_past

MOST_POSTS = 12_000
"""The best known posts take part: the inverse of 12,000 × 12,000 floats takes 1.2 GB while it is made."""


class Ease:
    """penalty: λ, what a cell of the Gram matrix's diagonal gets on top. recency: as in item_based.py.

    aim: each post is regressed on what was met by whether it was positive for the user, instead of whether it was met.
    """

    def __init__(self, penalty: float, recency: float | None = None, aim: Positives | None = None) -> None:
        self.name = f"ease-{penalty:g}"
        self._penalty, self._recency, self._aim = penalty, recency, aim

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Linear:
        met = liked(part, weights)
        counts = np.asarray(met.sum(axis=0)).ravel()
        posts = np.sort(np.argsort(-counts, kind="stable")[: min(MOST_POSTS, np.count_nonzero(counts))])
        met = met[:, posts]
        targets = None if self._aim is None else (met.T @ wanted(part, self._aim)[:, posts]).toarray()
        history = whole_past(weights) if self._recency is None else recent_past(weights, self._recency)
        return Linear(item_weights((met.T @ met).toarray(), self._penalty, targets), history, posts)


def item_weights(
    gram: NDArray[np.float32], penalty: float, targets: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """(k, k) ridge regression of each post on all others, its diagonal 0. gram (k, k) is overwritten.

    With P = (G + λI)⁻¹: B = I − P · diag(P)⁻¹; of `targets` (k, k), metᵀ · wanted: B = P · targets − P · diag(γ), where
    γ makes the diagonal 0.
    """
    places = np.arange(len(gram))
    gram[places, places] += penalty
    # Of a positive definite matrix, by Cholesky: half the time and memory of a general inverse.
    factor, _ = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    lower, _ = scipy.linalg.lapack.get_lapack_funcs(("potri",), (factor,))[0](factor, lower=True, overwrite_c=True)
    inverse: NDArray[np.float32] = np.tril(lower) + np.tril(lower, -1).T
    if targets is None:
        inverse /= -np.diag(inverse)[None, :].copy()
        inverse[places, places] = 0.0
        return inverse
    found: NDArray[np.float32] = inverse @ targets
    scale = found.diagonal() / inverse.diagonal()
    found -= inverse * scale[None, :]
    found[places, places] = 0.0
    return found
