"""Item-kNN (Sarwar, Karypis, Konstan, Riedl, WWW 2001): a post scores by its cosine to the posts of the history."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from schemas.events import InteractionType

from .dataset import Interactions, liked
from .neighbours import strongest

NEIGHBOURS = 100


class Neighbours:
    """similarity: (posts, posts) sparse, the strongest of each post."""

    def __init__(self, similarity: sp.csr_matrix, weights: Mapping[InteractionType, float]) -> None:
        self._similarity, self._weights = similarity, weights

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = (liked(before.of_users(users), self._weights) @ self._similarity).toarray()
        return scores


class ItemKnn:
    name = "item-knn"

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Neighbours:
        cells = liked(part, weights)
        norms = np.sqrt(np.maximum(np.asarray(cells.sum(axis=0)).ravel(), 1.0))
        unit = (cells @ sp.diags_array(1 / norms)).astype(np.float32).tocsc()
        return Neighbours(strongest(unit, NEIGHBOURS), weights)
