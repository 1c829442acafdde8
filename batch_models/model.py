"""What every batch model is: something that fits a part of the snapshot and then scores all posts for its users."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.events import InteractionType

from .dataset import Interactions


class Fitted(Protocol):
    """A model after training."""

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(users), posts) scores of all posts for users, from their interactions in `before` (the part trained on,
        or a longer one). -inf for a post that the model does not know. The caller owns the array and may change it."""


class Published(NamedTuple):
    """A version as it was published: vectors (n, dim) of the posts `ids` (n,), ascending; graph: ONNX, or empty."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    graph: bytes

    def of(self, post_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """(posts, dim), zeros for posts that it does not know."""
        found = np.zeros((len(post_ids), self.vectors.shape[1]), np.float32)
        place = np.searchsorted(post_ids, self.ids)
        there = post_ids[np.minimum(place, len(post_ids) - 1)] == self.ids
        found[place[there]] = self.vectors[there]
        return found


class Servable(Fitted, Protocol):
    """A model that feeds are served from: a post's score is the inner product of its vector and the user's."""

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """(posts, dim); rows of zeros for posts that the model does not know."""

    def graph(self) -> bytes | None:
        """ONNX that makes users' vectors, its posts being the known ones in their order. None: a user is the weighted
        sum of the vectors of the history."""


class Model(Protocol):
    """A model before training. name: the word for it in commands, cards and reports."""

    name: str

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Fitted:
        """Learns from `part` alone, whatever it chooses (hyperparameters, weights) included."""
