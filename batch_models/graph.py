"""The graph model: item vectors by convolution over graphs of users and posts, users folded in from their histories."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from online_models.positives import Positives
from schemas.events import InteractionType
from schemas.settings import Settings

from . import warm_start
from .course import Job
from .dataset import Interactions, histories, liked
from .deep_beginning import beginning
from .event_sequences import sequences
from .graph_network import Convolution, normalised
from .graph_training import PLAN, RECENCY, GraphTraining
from .model import Published
from .neighbours import keep_largest
from .succession import near

WIDTH = 64
"""At most, whatever EMBEDDING_DIM allows."""
LAYERS = 2
NEIGHBOURS = 50
SEED = 0
STATES = 1
"""Version of the states that are kept: another network begins from the beginning."""
THREADS = 1
"""Of torch: feeds are served beside the training."""


@dataclass(frozen=True)
class Choice:
    """width: of the vectors; what is published has one number more."""

    width: int


def choose(part: Interactions, weights: Mapping[InteractionType, float], embedding_dim: int) -> Choice:
    """Nothing is searched for: the defaults were chosen on validation slices of two data sets."""
    return Choice(min(embedding_dim, WIDTH))


def job(settings: Settings) -> Job:
    """Of a refresh."""
    return Job(PLAN, settings.model_path / Graph.name)


def fitted(
    part: Interactions, weights: Mapping[InteractionType, float], choice: Choice, job: Job | None = None
) -> "Convolved":  # fmt: skip
    """What refresh evaluates and publishes."""
    return Graph(choice.width, Positives(), job).fit(part, weights, SEED)


def serves(
    published: Published, post_ids: NDArray[np.int64], weights: Mapping[InteractionType, float]
) -> "Convolved":  # fmt: skip
    """A published version, to be compared with."""
    return Convolved(published.of(post_ids), weights)


class Graph:
    """A batch_models.model.Model. aim: what is to be found."""

    name = "graph"

    def __init__(self, embedding_dim: int, aim: Positives, job: Job | None = None) -> None:
        self._width, self._aim, self._job = min(embedding_dim, WIDTH), aim, job or Job(PLAN)

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> "Convolved":
        torch.set_num_threads(THREADS)
        neighbours = keep_largest(near(part, weights, self._aim), NEIGHBOURS)
        line = warm_start.Line(self._job.folder, part, [STATES, self._width, seed, weights], "vectors.weight")
        found = sequences(part, self._aim)
        met = np.bincount(found.posts, minlength=len(part.post_ids))
        vectors = line.turned(beginning(part, weights, self._width, seed))
        network = Convolution(normalised(liked(part, weights), neighbours), vectors, met, LAYERS)
        line.begin(network)
        GraphTraining(network, found, self._job.plan, seed, line.kept()).run()
        line.end(network)
        known = np.bincount(part.posts, minlength=len(part.post_ids)) > 0
        with torch.no_grad():
            vectors = torch.cat([network() * (network.log_scale / 2).exp(), network.bias.weight], dim=1).numpy()
        return Convolved(vectors * known[:, None], weights)


class Convolved:
    """vectors (posts, width + 1), the last number a bias; rows of zeros for posts that nobody met.

    A user is the mean of the vectors of the history, the q-th newest counting RECENCY^q, and a 1 where posts have the
    bias; a post scores the inner product: a logit but for a constant.
    """

    def __init__(self, vectors: NDArray[np.float32], weights: Mapping[InteractionType, float]) -> None:
        self.item_vectors = vectors
        self._weights = weights

    def graph(self) -> None:
        """None: see batch_models.model.Servable."""

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """See batch_models.model.Fitted. A user without a history gets what is most popular."""
        known: NDArray[np.bool_] = np.any(self.item_vectors, axis=1)
        history = histories(before.of_users(users), self._weights, RECENCY, by_strength=False)[:, known]
        vectors = self.item_vectors[known]
        sums = np.asarray(history.sum(axis=1)).reshape(-1, 1)
        folded = (history @ vectors) / np.maximum(sums, 1e-9)
        folded[:, -1] = 1.0
        scores = np.full((len(users), len(known)), -np.inf, np.float32)
        scores[:, known] = folded @ vectors.T
        return scores
