"""How the deep model is trained: every place of every user's events, two losses, one optimiser."""

import math
import time
from dataclasses import dataclass

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .deep_network import Items, Network
from .event_sequences import EventSequences, filled, windows

log = structlog.get_logger()

HORIZON = 50
"""Positives ahead that the second head may be asked for."""
DRAWS = 4
"""Of them, drawn anew each time."""
ALL_POSTS = 4_096
"""Up to so many posts the softmax goes over all of them; beyond, over NEGATIVES drawn by popularity."""
NEGATIVES = 1_024


@dataclass(frozen=True)
class Plan:
    """examples: places learnt in all, so that each is learnt least_epochs to most_epochs times, but more often where
    there are fewer than least_steps batches. batch: windows a step. rate: the highest, of Adam; it rises over the first
    tenth of the steps and falls to zero by a cosine.
    """

    examples: int = 1_000_000
    least_epochs: int = 4
    most_epochs: int = 10
    least_steps: int = 150
    batch: int = 32
    rate: float = 2e-3
    weight_decay: float = 0.01
    clip: float = 1.0


class Training:
    """One run over the events of a part. seed: fixes everything drawn; torch's own generator is set to it."""

    def __init__(self, network: Network, found: EventSequences, plan: Plan, seed: int) -> None:
        self._network, self._found, self._plan = network, found, plan
        self._draw = np.random.default_rng(seed)
        self._windows = windows(found)
        self._targets = np.flatnonzero(found.good)
        places = np.arange(len(found.posts))
        self._first = np.searchsorted(self._targets, places)
        self._last = np.minimum(self._first + HORIZON, np.searchsorted(self._targets, found.ends))
        posts = network.shape.posts
        shares = np.bincount(found.posts, minlength=posts) + 1.0
        shares /= shares.sum()
        self._cumulated, self._log_share = np.cumsum(shares), torch.tensor(np.log(shares), dtype=torch.float32)
        self._sampled = posts > ALL_POSTS
        self._columns = [torch.from_numpy(each) for each in (found.posts, found.types, found.values, found.gaps)]
        with torch.no_grad():
            for items, which in ((network.next, found.new), (network.later, found.good)):
                met = np.bincount(found.posts[which], minlength=posts)
                items.bias.weight[:, 0] = torch.tensor(np.log1p(met) / 2, dtype=torch.float32)

    def run(self) -> None:
        """All epochs. Nothing happens when nobody did two things."""
        plan, network = self._plan, self._network
        if not len(self._windows):
            return
        batches = range(0, len(self._windows), plan.batch)
        places = int((self._windows[:, 1] - self._windows[:, 2]).sum())
        epochs = min(max(plan.examples // places, plan.least_epochs), plan.most_epochs)
        epochs = max(epochs, math.ceil(plan.least_steps / len(batches)))
        steps = epochs * len(batches)
        # Vectors of posts get no decay: it would pull rare posts towards none.
        tables = [each.weight for each in network.modules() if isinstance(each, nn.Embedding)]
        known = {id(table) for table in tables}
        rest = [each for each in network.parameters() if id(each) not in known]
        optimiser = torch.optim.AdamW(
            [{"params": tables, "weight_decay": 0.0}, {"params": rest, "weight_decay": plan.weight_decay}], lr=plan.rate
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps, pct_start=0.1)
        network.train()
        for epoch in range(epochs):
            began, losses = time.monotonic(), np.zeros(2)
            order = self._draw.permutation(len(self._windows))
            for start in batches:
                parts = self._losses(self._windows[order[start : start + plan.batch]])
                optimiser.zero_grad()
                torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
                optimiser.step()
                schedule.step()
                losses += [float(each.detach()) for each in parts]
            log.info(
                "epoch learnt", epoch=epoch + 1, of=epochs, next=round(float(losses[0]) / len(batches), 3),
                later=round(float(losses[1]) / len(batches), 3), seconds=round(time.monotonic() - began, 1),
            )  # fmt: skip

    def _losses(self, chosen: NDArray[np.int64]) -> list[Tensor]:
        """Of the two heads, over the places that are new in the chosen windows (b, 3)."""
        found, network = self._found, self._network
        places, there = filled(chosen)
        asked = there & (places >= chosen[:, 2:3])
        inputs = torch.from_numpy(places)
        posts, types, values, gaps = (each[inputs] for each in self._columns)
        states = network.tower.states(posts, types, values, gaps, torch.from_numpy(there))
        following, states = places[asked] + 1, states[torch.from_numpy(asked)]
        return [self._next_loss(states, following, found.new[following]), self._later_loss(states, following)]

    def _next_loss(self, states: Tensor, following: NDArray[np.int64], new: NDArray[np.bool_]) -> Tensor:
        """Of finding the post of the next event, where the user meets it for the first time."""
        users = self._network.tower.next(states[torch.from_numpy(new)])
        wanted = torch.from_numpy(self._found.posts[following[new]][:, None])
        return self._softmax(self._network.next, users, wanted)

    def _later_loss(self, states: Tensor, following: NDArray[np.int64]) -> Tensor:
        """Of finding DRAWS of the next HORIZON positives."""
        first, count = self._first[following], (self._last - self._first)[following]
        some = count > 0
        users = self._network.tower.later(states[torch.from_numpy(some)])
        drawn = (self._draw.random((int(some.sum()), DRAWS)) * count[some][:, None]).astype(np.int64)
        wanted = torch.from_numpy(self._found.posts[self._targets[first[some][:, None] + drawn]])
        return self._softmax(self._network.later, users, wanted)

    def _softmax(self, items: Items, users: Tensor, wanted: Tensor) -> Tensor:
        """Mean of −log softmax of the wanted posts (n, r), over all posts or, corrected by how likely they were to be
        drawn (logQ: Bengio, Senécal, 2008), over some."""
        if not len(users):
            return users.sum()
        if not self._sampled:
            return -functional.log_softmax(items.logits(users), dim=1).gather(1, wanted).mean()
        drawn = np.searchsorted(self._cumulated, self._draw.random(NEGATIVES))
        others = torch.from_numpy(np.minimum(drawn, len(self._cumulated) - 1))
        logits = items.logits(users, others) - self._log_share[others] - math.log(NEGATIVES)
        right = items.logits_of(users, wanted)
        rest = torch.logsumexp(logits, dim=1, keepdim=True)
        return (torch.logaddexp(rest, right) - right).mean()
