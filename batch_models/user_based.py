"""User-based collaborative filtering (Herlocker et al., SIGIR 1999): what the users most alike turned to."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from online_models.positives import Positives
from schemas.events import InteractionType

from .dataset import Interactions, histories, wanted
from .linear import recent_past
from .neighbours import BLOCK

RECENCY = 0.95
NEIGHBOURS = 200


class Crowd:
    """fading (users, posts), rows of length 1: what is compared. found (users, posts): what they turned to."""

    def __init__(self, fading: sp.csr_matrix, found: sp.csr_matrix, weights: Mapping[InteractionType, float]) -> None:
        self._compared, self._found = fading.T.tocsr(), found
        self._history = recent_past(weights, RECENCY)

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        history = self._history(before.of_users(users))
        blocks = [np.empty((0, history.shape[1]), np.float32)]
        for start in range(0, len(users), BLOCK):
            alike = (history[start : start + BLOCK] @ self._compared).toarray()
            if alike.shape[1] > NEIGHBOURS:
                alike[alike < -np.partition(-alike, NEIGHBOURS - 1, axis=1)[:, [NEIGHBOURS - 1]]] = 0.0
            blocks.append((sp.csr_matrix(alike) @ self._found).toarray())
        return np.concatenate(blocks)


class UserBased:
    """aim: what counts of the users most alike."""

    name = "user-based"

    def __init__(self, aim: Positives) -> None:
        self._aim = aim

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Crowd:
        fading = histories(part, weights, RECENCY, by_strength=False)
        lengths = np.sqrt(np.maximum(np.asarray(fading.multiply(fading).sum(axis=1)).ravel(), 1e-9))
        return Crowd(
            (sp.diags_array(1 / lengths) @ fading).tocsr().astype(np.float32), wanted(part, self._aim), weights
        )
