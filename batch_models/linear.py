"""Models that are a matrix from post to post: a user scores as the history times the matrix."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from schemas.events import InteractionType

from .dataset import Interactions, histories, liked

History = Callable[[Interactions], sp.csr_matrix]
"""Interactions of u users → (u, posts), how much each post of their pasts counts."""


def whole_past(weights: Mapping[InteractionType, float]) -> History:
    """1 for each post that was met and not disliked, as yardsticks have it."""
    return lambda part: liked(part, weights)


def recent_past(weights: Mapping[InteractionType, float], recency: float) -> History:
    """recency^q for the q-th newest post, whatever was done with it: how much it was liked did not help (see docs)."""
    return lambda part: histories(part, weights, recency, by_strength=False)


class Linear:
    """matrix: (k, k), sparse or dense. posts (k,): which they are; all when not given, else -inf for the others."""

    def __init__(
        self, matrix: sp.csr_matrix | NDArray[np.float32], history: History, posts: NDArray[np.int64] | None = None
    ) -> None:
        self.matrix, self._history, self.posts = matrix, history, posts

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        history = self._history(before.of_users(users))
        if self.posts is None:
            whole: NDArray[np.float32] = _dense(history @ self.matrix)
            return whole
        scores = np.full((len(users), len(before.post_ids)), -np.inf, np.float32)
        scores[:, self.posts] = _dense(history[:, self.posts] @ self.matrix)
        return scores


def _dense(product: Any) -> NDArray[np.float32]:
    return np.asarray(product.toarray() if sp.issparse(product) else product)
