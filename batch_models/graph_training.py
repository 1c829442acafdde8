"""How the graph model is trained: the mean of a user's last posts is to find what the user turns to."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .course import Course, Kept, Plan
from .event_sequences import EventSequences
from .graph_network import Convolution
from .sampled_softmax import Ahead, SampledSoftmax

RECENCY = 0.95
"""Weight of a post of the history against the one after it. The API has the same number."""
PAST = 30
LATER = 0.5
"""Share of the examples that are asked for one of the positives ahead; the others for the next post. All of them gained
.01 of NDCG@10 on what follows in a validation slice of ML-100K, and lost .03 of leave-one-out."""

PLAN = Plan(
    least_epochs=1, most_epochs=3, least_steps=1, batch=2_048, rate=5e-3, weight_decay=0.0, clip=float("inf"),
    id_dropout=0.0,
)  # fmt: skip


class GraphTraining:
    """One run over the events of a part. seed: fixes everything drawn."""

    def __init__(
        self, network: Convolution, found: EventSequences, plan: Plan, seed: int, kept: Kept | None = None
    ) -> None:  # fmt: skip
        self._network, self._found = network, found
        self._course = Course("graph", network, plan, seed, kept or Kept())
        self._draw = self._course.draw
        self._posts = torch.from_numpy(found.posts)
        self._begin = np.repeat(found.starts[:-1], np.diff(found.starts))
        examples = np.flatnonzero(found.new & (np.arange(len(found.posts)) > self._begin))
        self._examples = examples[self._course.chosen(found.at[examples])]
        self._ahead = Ahead(found)
        self._softmax = SampledSoftmax(np.bincount(found.posts, minlength=network.vectors.num_embeddings))
        self._decays = torch.tensor(RECENCY ** np.arange(PAST), dtype=torch.float32)

    def run(self) -> None:
        """All epochs. Nothing happens when nobody did two things."""
        self._course.run(self._loss, len(self._examples), [])

    def _loss(self, batch: NDArray[np.int64]) -> Tensor:
        """Of what the examples named (b,) are asked for."""
        network, at = self._network, self._examples[batch]
        vectors, bias = network(), network.bias.weight[:, 0]
        users, scale = self._users(vectors, at), network.log_scale.exp()

        def logits(posts: Tensor | None) -> Tensor:
            of, apart = (vectors, bias) if posts is None else (vectors[posts], bias[posts])
            found: Tensor = scale * (users @ of.T) + apart
            return found

        def logits_of(posts: Tensor) -> Tensor:
            found: Tensor = scale * (vectors[posts] @ users[:, :, None])[:, :, 0] + bias[posts]
            return found

        return self._softmax.loss(self._posts[self._asked_for(at)][:, None], logits, logits_of, self._draw)

    def _users(self, vectors: Tensor, at: NDArray[np.int64]) -> Tensor:
        """(n, width): what the posts before the places `at` (n,) make."""
        back = at[:, None] - 1 - np.arange(PAST)
        weights = self._decays * torch.from_numpy(back >= self._begin[at][:, None])
        sums = functional.embedding_bag(
            self._posts[np.maximum(back, 0)], vectors, mode="sum", per_sample_weights=weights
        )
        return sums / weights.sum(dim=1, keepdim=True)

    def _asked_for(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places (n,) of the posts to be found: each its own, or one of the positives after it."""
        later = self._ahead.some(at) & (self._draw.random(len(at)) < LATER)
        asked = at.copy()
        asked[later] = self._ahead.drawn(at[later], self._draw.random((int(later.sum()), 1)))[:, 0]
        return asked
