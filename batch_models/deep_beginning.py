"""What the deep model's vectors of posts begin with: a factorisation of who met what, which takes a second.

On 6,000 users of kuairand, NDCG@10 on a validation slice: after two epochs from there .058, from random vectors .038;
after four .062 and .047. EASE has .056.
"""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from schemas.events import InteractionType

from .dataset import Interactions, liked

DAMPING = 0.5
LIFT = 0.25
ITERATIONS = 5


def beginning(
    part: Interactions, weights: Mapping[InteractionType, float], width: int, seed: int
) -> NDArray[np.float32]:  # fmt: skip
    """(posts, width), zeros for posts that nobody liked; of the others, the components are 1 / √width by root mean
    square. Singular vectors of the matrix with cells n_i^−DAMPING, times √ of their singular values and n_i^LIFT, n_i
    being how many users liked post i."""
    cells = liked(part, weights)
    users = np.asarray(cells.sum(axis=0), np.float64).ravel()
    vectors = np.zeros((cells.shape[1], width))
    rank = min(width, min(cells.shape) - 1)
    if rank > 0 and cells.nnz:
        damped = (cells @ sp.diags(np.maximum(users, 1.0) ** -DAMPING)).tocsr()
        _, values, right = randomized_svd(damped, rank, n_iter=ITERATIONS, random_state=seed)
        vectors[:, :rank] = right.T * np.sqrt(values)
        vectors *= np.maximum(users, 1.0)[:, None] ** LIFT
        vectors[users == 0] = 0.0
        vectors /= np.sqrt((vectors[users > 0] ** 2).mean() * width)
    return vectors.astype(np.float32)
