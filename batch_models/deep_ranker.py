"""The deep model: a user's last events through attention, trained on every event of everybody (deep_network)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from online_models.positives import Positives
from schemas.events import INTERACTION_TYPES, InteractionType, strength

from .dataset import Interactions
from .deep_beginning import beginning
from .deep_export import exported
from .deep_network import HEADS, Network, Shape, UserVector
from .deep_published import PublishedDeep
from .deep_training import Plan, Training
from .event_sequences import EventSequences, filled, last_windows, sequences
from .model import Published

LATER = 0.85
"""Weight of the head of what comes later against that of what comes next. NDCG@10 on validation slices of ML-100K with
.5, .85 and 1: leave one out .513, .481, .443; all that follows .117, .152, .168."""
SEED = 0
THREADS = 1
"""Of torch: feeds are served beside the training."""
AT_ONCE = 256
"""Users scored together."""


@dataclass(frozen=True)
class Choice:
    """embedding_dim: the setting; each head gets half of it, and a user has one number more."""

    embedding_dim: int


def choose(part: Interactions, weights: Mapping[InteractionType, float], embedding_dim: int) -> Choice:
    """Nothing is searched for: the defaults of Plan and Shape were chosen on slices of two data sets."""
    return Choice(embedding_dim)


def fitted(part: Interactions, weights: Mapping[InteractionType, float], choice: Choice) -> "FittedDeep":
    """What refresh evaluates and publishes."""
    return Deep(choice.embedding_dim, Positives()).fit(part, weights, SEED)


def serves(
    published: Published, post_ids: NDArray[np.int64], weights: Mapping[InteractionType, float]
) -> PublishedDeep:  # fmt: skip
    """A published version, to be compared with."""
    return PublishedDeep(published, post_ids)


class Deep:
    """A batch_models.model.Model. positives: what the second head is to find."""

    name = "deep"

    def __init__(self, embedding_dim: int, positives: Positives) -> None:
        self._width = max(embedding_dim // 2 // HEADS, 1) * HEADS
        self._positives = positives

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> "FittedDeep":
        torch.set_num_threads(THREADS)
        torch.manual_seed(seed)
        network = Network(Shape(len(part.post_ids), self._width), strengths(weights))
        network.begin_with(torch.from_numpy(beginning(part, weights, self._width, seed)))
        Training(network, sequences(part, self._positives), Plan(), seed).run()
        network.eval()
        known = np.bincount(part.posts, minlength=len(part.post_ids)) > 0
        return FittedDeep(network, self._positives, known)


def strengths(weights: Mapping[InteractionType, float]) -> Tensor:
    """(types,): schemas.events.strength of each type at its highest value."""
    highest = {"rating": 100.0}
    return torch.tensor([strength(name, highest.get(name, 1.0), weights) for name in INTERACTION_TYPES])


class FittedDeep:
    """network: after training. known (posts,): met by anybody in the part that was trained on."""

    def __init__(self, network: Network, positives: Positives, known: NDArray[np.bool_]) -> None:
        self.network, self.known = network, known
        self._positives = positives
        self.tower = UserVector(network, LATER).eval()

    def graph(self) -> bytes:
        """The user tower; see batch_models.model.Servable."""
        return exported(self.tower, self.known)

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """(posts, 3 · width + 1); rows of zeros for posts that nobody met."""
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
