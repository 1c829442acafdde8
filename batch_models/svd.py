"""Matrix factorisation by truncated SVD (PureSVD: Cremonesi, Koren, Turrin, RecSys 2010), as item vectors.

Cell of the matrix: log(1 + strength) · n_i^−damping, n_i = users who liked post i. The item vector is that of the right
singular vectors, times n_i^lift. A user is folded in as u = Σ w_i V_i over the history, so users need no training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD

from schemas.events import InteractionType

from .dataset import Interactions, histories, pairs
from .evaluate import Trial, fold_in
from .model import Published

DIMS = (8, 16, 32, 64)
"""64 at most, whatever EMBEDDING_DIM allows: on ML-100K 8 to 32 are best, and the API scores every post by them."""
DAMPINGS = (0.0, 0.25, 0.5)
LIFTS = (0.0, 0.25)
VALIDATION = 0.89
"""Share of the training part that is trained on for choosing; the rest validates. Both end before the test slice."""
SEED = 0


@dataclass(frozen=True)
class Choice:
    """dim: length of the vectors. damping, lift: see above. The defaults are the choice on ML-100K."""

    dim: int = 16
    damping: float = 0.5
    lift: float = 0.25


def choose(part: Interactions, weights: Mapping[InteractionType, float], embedding_dim: int) -> Choice:
    """The choice with the best NDCG@10 on the last slice of `part`; the default when nobody is there to ask."""
    before, after = part.split(VALIDATION)
    trial = Trial(before, after, weights)
    dims = [dim for dim in DIMS if dim <= embedding_dim] or [embedding_dim]
    best, best_figure = Choice(dim=min(Choice.dim, embedding_dim)), -1.0
    if not trial.users:
        return best
    for damping in DAMPINGS:
        # Singular vectors are nested: the first 8 of 64 are those of a factorisation to 8.
        right, liked_by = _factors(before, weights, dims[-1], damping)
        for dim, lift in product(dims, LIFTS):
            figure = trial.figures(fold_in(_vectors(right[:, :dim], liked_by, lift))).ndcg
            if figure > best_figure:
                best, best_figure = Choice(dim, damping, lift), figure
    return best


def fit(part: Interactions, weights: Mapping[InteractionType, float], choice: Choice) -> NDArray[np.float32]:
    """Item vectors (posts, dim); rows of zeros for posts that nobody liked in this part."""
    right, liked_by = _factors(part, weights, choice.dim, choice.damping)
    return _vectors(right, liked_by, choice.lift)


def _factors(
    part: Interactions, weights: Mapping[InteractionType, float], dim: int, damping: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Right singular vectors (posts, dim), and how many users liked each post (posts,)."""
    users, posts, strengths, _ = pairs(part, weights)
    liked = strengths > 0
    shape = (part.user_count, len(part.post_ids))
    liked_by = np.bincount(posts[liked], minlength=shape[1])
    cells = np.log1p(strengths[liked]) * liked_by[posts[liked]] ** -damping
    matrix = sp.csr_matrix((cells, (users[liked], posts[liked])), shape=shape)
    model = TruncatedSVD(min(dim, *shape), random_state=SEED, n_iter=7).fit(matrix)
    return model.components_.T, liked_by


def _vectors(right: NDArray[np.float64], liked_by: NDArray[np.int64], lift: float) -> NDArray[np.float32]:
    known = (liked_by > 0).astype(np.float64)
    return (right * (known * np.maximum(liked_by, 1) ** lift)[:, None]).astype(np.float32)


class FoldedIn:
    """vectors (posts, dim) with users folded in from their histories, as the API does it."""

    def __init__(self, vectors: NDArray[np.float32], weights: Mapping[InteractionType, float]) -> None:
        self.item_vectors = vectors
        self._weights = weights

    def graph(self) -> None:
        """None: see batch_models.model.Servable."""

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        return fold_in(self.item_vectors)(histories(before.of_users(users), self._weights))


def fitted(part: Interactions, weights: Mapping[InteractionType, float], choice: Choice) -> FoldedIn:
    """What refresh evaluates and publishes."""
    return FoldedIn(fit(part, weights, choice), weights)


def serves(
    published: Published, post_ids: NDArray[np.int64], weights: Mapping[InteractionType, float]
) -> FoldedIn:  # fmt: skip
    """A published version, to be compared with."""
    return FoldedIn(published.of(post_ids), weights)


class Svd:
    """dim: the longest vectors allowed, and the choice is made inside the part, on its last slice; or the choice."""

    name = "svd"

    def __init__(self, dim: int | Choice) -> None:
        self._dim = dim

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> FoldedIn:
        choice = self._dim if isinstance(self._dim, Choice) else choose(part, weights, self._dim)
        return fitted(part, weights, choice)
