"""How the graph model is trained: the mean of a user's last posts is to find what the user turns to."""

import math
import time
from dataclasses import dataclass

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .event_sequences import EventSequences
from .graph_network import Convolution

log = structlog.get_logger()

RECENCY = 0.95
"""Weight of a post of the history against the one after it. The API has the same number."""
PAST = 30
HORIZON = 50
"""Positives ahead that an example may be asked for."""
LATER = 0.5
"""Share of the examples that are asked for one of them; the others for the next post. All of them gained .01 of NDCG@10
on what follows in a validation slice of ML-100K, and lost .03 of leave-one-out."""
ALL_POSTS = 4_096
"""Up to so many posts the softmax goes over all of them; beyond, over NEGATIVES drawn by popularity."""
NEGATIVES = 1_024
SCALE = 10.0
"""What inner products are multiplied by at first; it is learnt."""


@dataclass(frozen=True)
class Plan:
    """examples: learnt in all, each once to most_epochs times. batch: of them, a step. rate: the highest, of Adam; it
    rises over the first tenth of the steps and falls to zero by a cosine."""

    examples: int = 1_000_000
    most_epochs: int = 3
    batch: int = 2_048
    rate: float = 5e-3


class GraphTraining:
    """One run over the events of a part. seed: fixes everything drawn."""

    def __init__(self, network: Convolution, found: EventSequences, plan: Plan, seed: int) -> None:
        self._network, self._found, self._plan = network, found, plan
        self._draw = np.random.default_rng(seed)
        self._posts = torch.from_numpy(found.posts)
        places = np.arange(len(found.posts))
        self._begin = np.repeat(found.starts[:-1], np.diff(found.starts))
        self._examples = np.flatnonzero(found.new & (places > self._begin))
        self._good = np.flatnonzero(found.good)
        self._first = np.searchsorted(self._good, places)
        self._last = np.minimum(self._first + HORIZON, np.searchsorted(self._good, found.ends))
        met = np.bincount(found.posts, minlength=network.vectors.num_embeddings)
        shares = (met + 1.0) / (met + 1.0).sum()
        self._cumulated, self._log_share = np.cumsum(shares), torch.tensor(np.log(shares), dtype=torch.float32)
        self._sampled = len(met) > ALL_POSTS
        self._decays = torch.tensor(RECENCY ** np.arange(PAST), dtype=torch.float32)
        self.bias = nn.Parameter(torch.tensor(np.log1p(met) / 2, dtype=torch.float32))
        self.log_scale = nn.Parameter(torch.tensor(math.log(SCALE)))

    def run(self) -> None:
        """All epochs. Nothing happens when nobody did two things."""
        plan, count = self._plan, len(self._examples)
        if not count:
            return
        epochs = min(max(plan.examples // count, 1), plan.most_epochs)
        parameters = [*self._network.parameters(), self.bias, self.log_scale]
        optimiser = torch.optim.Adam(parameters, lr=plan.rate)
        steps = epochs * math.ceil(count / plan.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps, pct_start=0.1)
        for epoch in range(epochs):
            began, total = time.monotonic(), 0.0
            order = self._draw.permutation(self._examples)
            for start in range(0, count, plan.batch):
                loss = self._loss(order[start : start + plan.batch])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                total += float(loss.detach()) * plan.batch / count
            log.info(
                "epoch learnt", epoch=epoch + 1, of=epochs, loss=round(total, 3),
                seconds=round(time.monotonic() - began, 1),
            )  # fmt: skip

    def _loss(self, at: NDArray[np.int64]) -> Tensor:
        """Mean of −log softmax of what the examples (n,) are asked for, over all posts or, corrected by how likely they
        were to be drawn (logQ: Bengio, Senécal, 2008), over some."""
        vectors = self._network()
        users, wanted = self._users(vectors, at), self._posts[self._asked_for(at)]
        scale = self.log_scale.exp()
        if not self._sampled:
            return functional.cross_entropy(scale * (users @ vectors.T) + self.bias, wanted)
        drawn = np.searchsorted(self._cumulated, self._draw.random(NEGATIVES))
        others = torch.from_numpy(np.minimum(drawn, len(self._cumulated) - 1))
        logits = scale * (users @ vectors[others].T) + self.bias[others] - self._log_share[others] - math.log(NEGATIVES)
        right = scale * (users * vectors[wanted]).sum(dim=1) + self.bias[wanted]
        loss: Tensor = (torch.logaddexp(torch.logsumexp(logits, dim=1), right) - right).mean()
        return loss

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
        first, count = self._first[at], (self._last - self._first)[at]
        later = (count > 0) & (self._draw.random(len(at)) < LATER)
        drawn = first[later] + (self._draw.random(int(later.sum())) * count[later]).astype(np.int64)
        asked = at.copy()
        asked[later] = self._good[drawn]
        return asked
