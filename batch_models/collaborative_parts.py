"""What the hybrid of collaborative models is a sum of: matrices from post to post, each made by a model of its own."""

from collections.abc import Callable, Mapping

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from online_models.positives import Positives
from schemas.events import InteractionType

from .dataset import Interactions, histories, liked, wanted
from .ease import Ease
from .item_based import ItemBased
from .linear import Linear
from .recent_popularity import RecentPopularity
from .succession import Succession
from .svd import Choice, Svd
from .user_based import RECENCY

MOST_POSTS = 12_000
"""The best known posts take part: a matrix of them takes .6 GB, and two are held at once."""

Weights = Mapping[InteractionType, float]
Matrix = NDArray[np.float32]
Part = Callable[[Interactions, Weights, int], Matrix | sp.csr_matrix]
"""A part of a snapshot, weights and a seed → (posts, posts): what a post in the history says of every other post."""


def best_known(part: Interactions, weights: Weights) -> NDArray[np.int64]:
    """Positions, ascending, of the posts that take part."""
    counts = np.asarray(liked(part, weights).sum(axis=0)).ravel()
    return np.sort(np.argsort(-counts, kind="stable")[: min(MOST_POSTS, np.count_nonzero(counts))])


def parts(dim: int, aim: Positives) -> dict[str, Part]:
    """By name. dim: the longest vectors of the SVD. aim: what is to be found."""
    return {
        "user-based": lambda part, weights, _: through_users(part, weights, aim),
        "item-based": lambda part, weights, seed: of(ItemBased("item-based", None).fit(part, weights, seed), part),
        "ease-200": lambda part, weights, seed: of(Ease(200.0).fit(part, weights, seed), part),
        "ease-1000": lambda part, weights, seed: of(Ease(1000.0, None, aim).fit(part, weights, seed), part),
        "succession": lambda part, weights, seed: of(Succession(aim).fit(part, weights, seed), part),
        "svd": lambda part, weights, seed: alike(Svd(Choice(min(dim, 128))).fit(part, weights, seed).item_vectors),
    }


def through_users(part: Interactions, weights: Weights, aim: Positives) -> sp.csr_matrix:
    """User-based filtering without a limit of neighbours: what those who met a post turned to, each counting as much
    as the post counts in their history, whose length is 1."""
    fading = histories(part, weights, RECENCY, by_strength=False)
    lengths = np.sqrt(np.maximum(np.asarray(fading.multiply(fading).sum(axis=1)).ravel(), 1e-9))
    return (fading.T @ (sp.diags_array(1.0 / lengths) @ wanted(part, aim))).tocsr()


def of(fitted: Linear, part: Interactions) -> Matrix | sp.csr_matrix:
    """The whole matrix, also of a model that leaves out posts that nobody met in this part."""
    if fitted.posts is None:
        return fitted.matrix
    whole = np.zeros((len(part.post_ids),) * 2, np.float32)
    whole[np.ix_(fitted.posts, fitted.posts)] = fitted.matrix
    return whole


def alike(vectors: Matrix) -> Matrix:
    """Inner products of vectors (posts, dim)."""
    return vectors @ vectors.T


def fading_popularity(part: Interactions, weights: Weights, aim: Positives) -> NDArray[np.float32]:
    """(posts,): log(1 + positives that fade), what a post has without a history."""
    counts = RecentPopularity(aim).fit(part, weights, 0).scores(part, np.zeros(1, np.int64))[0]
    return np.asarray(np.log1p(np.maximum(counts, 0.0)), np.float32)
