"""The deep model: a user's last events through attention, trained on every event of everybody (deep_network)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from online_models.content_tokens import PostTokens
from online_models.positives import Positives
from schemas.events import INTERACTION_TYPES, InteractionType, strength
from schemas.settings import Settings

from . import warm_start
from .course import Job, Plan
from .dataset import Interactions
from .deep_beginning import beginning
from .deep_export import exported
from .deep_network import HEADS, Network, Shape, UserVector
from .deep_published import PublishedDeep
from .deep_training import Training, begin_biases
from .event_sequences import EventSequences, filled, last_windows, sequences
from .item_tower import item_tower
from .model import Published
from .post_vectors import by_tokens, tokens_of

LATER = 0.85
"""Weight of the head of what comes later against that of what comes next. NDCG@10 on validation slices of ML-100K with
.5, .85 and 1: leave one out .513, .481, .443; all that follows .117, .152, .168."""
SEED = 0
NEW_BIAS = 0.25
"""Quantile of the biases of posts that new ones get."""
STATES = 1
"""Version of the states that are kept: another network begins from the beginning."""
THREADS = 1
"""Of torch: feeds are served beside the training."""
AT_ONCE = 256
"""Users scored together."""


def job(settings: Settings) -> Job:
    """Of a refresh."""
    return Job(Plan(batch=settings.batch_size, rate=settings.learning_rate), settings.model_path / Deep.name)


@dataclass(frozen=True)
class Choice:
    """embedding_dim: the setting; each head gets half of it, and a user has one number more."""

    embedding_dim: int


def choose(part: Interactions, weights: Mapping[InteractionType, float], embedding_dim: int) -> Choice:
    """Nothing is searched for: the defaults of Plan and Shape were chosen on slices of two data sets."""
    return Choice(embedding_dim)


def fitted(
    part: Interactions, weights: Mapping[InteractionType, float], choice: Choice, job: Job | None = None
) -> "FittedDeep":  # fmt: skip
    """What refresh evaluates and publishes."""
    return Deep(choice.embedding_dim, Positives(), job).fit(part, weights, SEED)


def serves(
    published: Published, post_ids: NDArray[np.int64], weights: Mapping[InteractionType, float]
) -> PublishedDeep:  # fmt: skip
    """A published version, to be compared with."""
    return PublishedDeep(published, post_ids)


class Deep:
    """A batch_models.model.Model. positives: what the second head is to find."""

    name = "deep"

    def __init__(self, embedding_dim: int, positives: Positives, job: Job | None = None) -> None:
        self._job = job or Job(Plan())
        self._width = max(embedding_dim // 2 // HEADS, 1) * HEADS
        self._positives = positives

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> "FittedDeep":
        torch.set_num_threads(THREADS)
        torch.manual_seed(seed)
        shape = Shape(len(part.post_ids), self._width)
        same = [STATES, self._width, shape.layers, seed, weights]
        line = warm_start.Line(self._job.folder, part, same, "tower.sums.vectors.own")
        tokens, events = tokens_of(part.facts), np.bincount(part.posts, minlength=len(part.post_ids))
        network = Network(shape, tokens, strengths(weights))
        vectors = line.turned(beginning(part, weights, self._width, seed))
        shared = by_tokens(tokens, vectors, np.asarray(vectors.any(axis=1)))
        network.begin_with(torch.from_numpy(vectors), torch.from_numpy(shared))
        found = sequences(part, self._positives)
        begin_biases(network, found)
        line.begin(network, tokens.codes)
        Training(network, found, self._job.plan, seed, line.kept()).run()
        line.end(network, tokens.codes)
        return FittedDeep(network.eval(), self._positives, events, part.content.posts)


def strengths(weights: Mapping[InteractionType, float]) -> Tensor:
    """(types,): schemas.events.strength of each type at its highest value."""
    highest = {"rating": 100.0}
    return torch.tensor([strength(name, highest.get(name, 1.0), weights) for name in INTERACTION_TYPES])


class FittedDeep:
    """network: after training. events (posts,): of each in the part that was trained on. content: what the rows of
    posts say, by which posts without an event are known, if they say anything."""

    def __init__(
        self, network: Network, positives: Positives, events: NDArray[np.int64], content: PostTokens
    ) -> None:  # fmt: skip
        self.network = network
        met = events > 0
        self.known = met | content.described
        with torch.no_grad():
            self._items, self._bias = item_tower(content, network.post_vectors().numpy(), events), 0.0
            for items, share in ((network.next, 1.0 - LATER), (network.later, LATER)):
                # As unpopular as any: what nobody met has no bias of its own.
                bias = items.bias.weight[:, 0]
                if met.any():
                    bias[torch.from_numpy(~met)] = bias[torch.from_numpy(met)].quantile(NEW_BIAS)
                    self._bias += share * float(bias[torch.from_numpy(met)].quantile(NEW_BIAS))
        new = np.flatnonzero(~met & self.known)
        network.become(torch.from_numpy(new), torch.from_numpy(self._items.vectors(content.rows(new))))
        self._positives = positives
        self.tower = UserVector(network, LATER).eval()

    def graph(self) -> bytes:
        """Both towers; see batch_models.model.Servable."""
        return exported(self.tower, self.known, self._items, self._bias)

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """(posts, 3 · width + 1); rows of zeros for posts that nobody met and whose rows say nothing."""
        with torch.no_grad():
            vectors: NDArray[np.float32] = self.network.item_vectors(LATER).numpy() * self.known[:, None]
        return vectors

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """See batch_models.model.Fitted. A user without events gets what is most popular."""
        found = sequences(before, self._positives)
        items = torch.from_numpy(self.item_vectors)
        # Whom the tower can't tell anything of gets what others were glad of: the bias alone.
        vectors = torch.zeros(len(users), items.shape[1])
        vectors[:, -1] = 1.0
        places = last_windows(found, users)
        some = np.flatnonzero(places[:, 1] > places[:, 0])
        for start in range(0, len(some), AT_ONCE):
            chosen = some[start : start + AT_ONCE]
            vectors[chosen] = self._vectors(found, places[chosen])
        scores: NDArray[np.float32] = (vectors @ items.T).numpy()
        scores[:, ~self.known] = -np.inf
        return scores

    @torch.no_grad()
    def _vectors(self, found: EventSequences, places: NDArray[np.int64]) -> Tensor:
        """(u, 3 · width + 1) of windows (u, 2)."""
        inputs, there = filled(places)
        columns = (torch.from_numpy(each[inputs]) for each in (found.posts, found.types, found.values, found.gaps))
        vectors: Tensor = self.tower(*columns, torch.from_numpy(there))
        return vectors
