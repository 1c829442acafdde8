"""Content embeddings: a post has a vector by what its row says, before anybody met it (content_network).

Trained on who turned to what, judged by posts that were kept out of the training (new_posts), and applied by ONNX
Runtime to whatever comes, here as in the API.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from online_models.content_towers import ContentTowers
from online_models.positives import Positives
from schemas.events import InteractionType

from .dataset import Interactions, histories
from .model import Published
from .new_posts import NewPostTrial, new_posts

SEED = 0


@dataclass(frozen=True)
class Choice:
    """embedding_dim: the setting, which is the length of the vectors."""

    embedding_dim: int


def choose(part: Interactions, weights: Mapping[InteractionType, float], embedding_dim: int) -> Choice:
    """Nothing is searched for: what there was to choose was chosen on slices of ML-100K."""
    return Choice(embedding_dim)


def fitted(part: Interactions, weights: Mapping[InteractionType, float], choice: Choice) -> "FittedContent":
    """What refresh evaluates and publishes."""
    return ContentEmbedding(choice.embedding_dim, Positives()).fit(part, weights, SEED)


def serves(
    published: Published, post_ids: NDArray[np.int64], weights: Mapping[InteractionType, float]
) -> "FittedContent":  # fmt: skip
    """A published version, to be compared with."""
    return FittedContent(published.graph, weights)


def trial(whole: Interactions, weights: Mapping[InteractionType, float]) -> NewPostTrial:
    """What refresh judges by: first viewers of posts that are kept out of the training."""
    return NewPostTrial(new_posts(whole, Positives(), SEED), weights)


class FittedContent:
    """graph: content_export.exported."""

    def __init__(self, graph: bytes, weights: Mapping[InteractionType, float]) -> None:
        self._graph, self._weights = graph, weights
        self._towers = ContentTowers(graph)
        self._content: object = None
        self._vectors = np.empty((0, 0), np.float32)

    def graph(self) -> bytes:
        """Both towers; see batch_models.model.Servable."""
        return self._graph

    def vectors(self, part: Interactions) -> NDArray[np.float32]:
        """(posts, dim); rows of zeros for posts of which nothing is known."""
        if self._content is not part.content.posts:
            posts = part.content.posts
            self._vectors = self._towers.posts(posts) * posts.described[:, None].astype(np.float32)
            self._content = posts
        return self._vectors

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """(posts, dim) of the part that was asked about last; fit asks about the one it learns from."""
        return self._vectors

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """See batch_models.model.Fitted. A user without events is judged by the profile alone."""
        vectors = self.vectors(before)
        taste = histories(before.of_users(users), self._weights) @ vectors
        scores = self._towers.users(taste, before.content.users[users]) @ vectors.T
        scores[:, ~vectors.any(axis=1)] = -np.inf
        return np.asarray(scores, np.float32)


class ContentEmbedding:
    """A batch_models.model.Model. dim: length of the vectors. positives: what posts are to be found for."""

    name = "content"

    def __init__(self, dim: int, positives: Positives) -> None:
        self._dim, self._positives = dim, positives

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> FittedContent:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what matters is raised; the rest are greetings
        # Five seconds and 400 MB, which only a training should take.
        import keras

        from . import content_export, content_network, content_training

        keras.utils.set_random_seed(seed)
        towers = content_network.Towers(self._dim)
        content_training.train(towers, part, weights, self._positives, seed)
        found = FittedContent(content_export.exported(towers.learnt()), weights)
        found.vectors(part)
        return found
