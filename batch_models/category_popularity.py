"""What anyone can say of a post that nobody has met: how its category does, with everybody or with the user."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from online_models.positives import Positives
from schemas.events import InteractionType

from .dataset import Interactions, liked, wanted
from .popularity import Popular

_CATEGORY = 0
"""Its place in PostTokens.names."""


def categories(part: Interactions) -> NDArray[np.int64]:
    """(posts,): number of the category of each post."""
    return np.unique(part.content.posts.names[:, _CATEGORY], return_inverse=True)[1].astype(np.int64)


class CategoryPopularity:
    """Positives a post of the category, of posts that anybody met: the same for all users."""

    name = "category-popularity"

    def __init__(self, positives: Positives) -> None:
        self._positives = positives

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Popular:
        return Popular(self.means(part))

    def means(self, part: Interactions) -> NDArray[np.float32]:
        """(posts,)"""
        category = categories(part)
        positives = np.asarray(wanted(part, self._positives).sum(axis=0)).ravel()
        met = np.bincount(part.posts, minlength=len(category)) > 0
        total, posts = np.bincount(category, positives), np.bincount(category, met)
        return (total / np.maximum(posts, 1.0))[category].astype(np.float32)


class Shares:
    """member (posts, categories): 1 where it belongs. means (posts,): below 1, decide between equal shares."""

    def __init__(
        self, member: sp.csr_matrix, means: NDArray[np.float32], weights: Mapping[InteractionType, float]
    ) -> None:  # fmt: skip
        self._member, self._means, self._weights = member, means, weights

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        counts = (liked(before.of_users(users), self._weights) @ self._member).toarray()
        return np.asarray(counts @ self._member.T + self._means, np.float32)


class UserCategories:
    """How many posts of the category the user met and did not dislike; between equals, the category's popularity."""

    name = "user-categories"

    def __init__(self, positives: Positives) -> None:
        self._positives = positives

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Shares:
        category = categories(part)
        member = sp.csr_matrix((np.ones(len(category), np.float32), (np.arange(len(category)), category)))
        means = CategoryPopularity(self._positives).means(part)
        return Shares(member, means / (1.0 + means.max(initial=0.0)), weights)
