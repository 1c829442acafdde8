"""How the deep model is trained: every place of every user's events, two losses, one optimiser."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from . import training_state
from .deep_network import Items, Network
from .event_sequences import EventSequences, filled, windows
from .processes import Processes
from .progress import progress

log = structlog.get_logger()

HORIZON = 50
"""Positives ahead that the second head may be asked for."""
DRAWS = 4
"""Of them, drawn anew each time."""
ALL_POSTS = 4_096
"""Up to so many posts the softmax goes over all of them; beyond, over NEGATIVES drawn by popularity."""
NEGATIVES = 1_024
FIRST, RISE = 0.04, 0.1
CHECKPOINT_SECONDS = 20.0
"""What a training that is killed loses at most; a state is written in .1 s."""
WARM_EPOCHS = 2
WARM_RATE = 0.5
"""Share of the rate, where the network knows most of it."""


@dataclass(frozen=True)
class Plan:
    """examples: places learnt in all, so that each is learnt least_epochs to most_epochs times, but more often where
    there are fewer than least_steps batches. batch: windows a step. rate: the highest, of Adam; it rises over the first
    tenth of the steps and falls to zero by a cosine. id_dropout: share of posts without their own vectors in a step.
    """

    examples: int = 1_000_000
    least_epochs: int = 4
    most_epochs: int = 10
    least_steps: int = 150
    batch: int = 32
    rate: float = 2e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    id_dropout: float = 0.1


def begin_biases(network: Network, found: EventSequences) -> None:
    """Biases of both heads from how many users met each post, and were glad of it."""
    with torch.no_grad():
        for items, which in ((network.next, found.new), (network.later, found.good)):
            met = np.bincount(found.posts[which], minlength=network.shape.posts)
            items.bias.weight[:, 0] = torch.tensor(np.log1p(met) / 2, dtype=torch.float32)


def rate_at(share: float) -> float:
    """Of the highest rate, after a share of the steps: up from a 25th of it over the first tenth, then down to nearly
    zero, both by cosines (Smith, Topin, Super-convergence, 2019)."""
    if share < RISE:
        return FIRST + (1.0 - FIRST) * (1.0 - math.cos(math.pi * share / RISE)) / 2
    return (1.0 + math.cos(math.pi * (share - RISE) / (1.0 - RISE))) / 2


class Training:
    """One run over the events of a part. seed: fixes everything drawn; torch's own generator is set to it.

    since: seconds since 1970; the network knows what happened until then, and learns what came
    later and as much of the former. checkpoint: where the state is kept while it runs, and taken from; key: of what.
    """

    def __init__(
        self, network: Network, found: EventSequences, plan: Plan, seed: int, *, since: float | None = None,
        checkpoint: Path | None = None, key: str = "",
    ) -> None:  # fmt: skip
        self._network, self._found, self._plan, self._since = network, found, plan, since
        self._highest = plan.rate * (1.0 if since is None else WARM_RATE)
        self._processes = Processes()
        self._order_draw = np.random.default_rng(seed)
        self._draw = np.random.default_rng([seed, self._processes.rank])
        self._windows = self._chosen(windows(found))
        self._checkpoint, self._key = checkpoint, f"{key} {plan} {seed} {len(self._windows)} {self._processes.count}"
        self._targets = np.flatnonzero(found.good)
        places = np.arange(len(found.posts))
        self._first = np.searchsorted(self._targets, places)
        self._last = np.minimum(self._first + HORIZON, np.searchsorted(self._targets, found.ends))
        posts = network.shape.posts
        shares = np.bincount(found.posts, minlength=posts) + 1.0
        shares /= shares.sum()
        device = self._processes.device
        self._cumulated = np.cumsum(shares)
        self._log_share = torch.tensor(np.log(shares), dtype=torch.float32, device=device)
        self._sampled = posts > ALL_POSTS
        columns = found.posts, found.types, found.values, found.gaps
        self._columns = [torch.from_numpy(each).to(device) for each in columns]

    def _chosen(self, every: NDArray[np.int64]) -> NDArray[np.int64]:
        """All windows, or those that are new and as many others."""
        if self._since is None:
            return every
        new = self._found.at[every[:, 1]] > self._since
        count = min(int(new.sum()), int((~new).sum()))
        others = self._order_draw.choice(np.flatnonzero(~new), count, replace=False) if count else np.empty(0, np.int64)
        chosen: NDArray[np.int64] = every[np.concatenate([np.flatnonzero(new), others])]
        return chosen

    def run(self) -> None:
        """All epochs. Nothing happens when nobody did two things. In several processes, each does its share."""
        if not len(self._windows):
            return
        network, steps = self._network.to(self._processes.device), self._steps()
        if self._processes.count > 1:
            torch.manual_seed(torch.initial_seed() + self._processes.rank)
        optimiser = self._optimiser()
        network.train()
        step, order = self._resumed(optimiser)
        saved, batches = time.monotonic(), math.ceil(len(self._windows) / self._plan.batch)
        with progress("deep", steps, step) as told:
            while step < steps:
                if step % batches == 0:
                    order = self._order_draw.permutation(len(self._windows))
                start = step % batches * self._plan.batch
                batch = self._windows[order[start : start + self._plan.batch]]
                for group in optimiser.param_groups:
                    group["lr"] = self._highest * rate_at(step / steps)
                loss = self._step(batch[self._processes.share(len(batch))], optimiser)
                step += 1
                told(step, loss)
                if time.monotonic() - saved > CHECKPOINT_SECONDS and step < steps:
                    self._save(step, order, optimiser)
                    saved = time.monotonic()
        network.hide(None)
        network.cpu()

    def _steps(self) -> int:
        plan = self._plan
        batches = math.ceil(len(self._windows) / plan.batch)
        if self._since is not None:
            return WARM_EPOCHS * batches
        places = int((self._windows[:, 1] - self._windows[:, 2]).sum())
        epochs = min(max(plan.examples // places, plan.least_epochs), plan.most_epochs)
        return max(epochs, math.ceil(plan.least_steps / batches)) * batches

    def _optimiser(self) -> torch.optim.AdamW:
        network = self._network
        # Vectors of posts get no decay: it would pull rare posts towards none.
        tables = [each.weight for each in network.modules() if isinstance(each, nn.Embedding)]
        known = {id(table) for table in tables}
        rest = [each for each in network.parameters() if id(each) not in known]
        groups = [{"params": tables, "weight_decay": 0.0}, {"params": rest, "weight_decay": self._plan.weight_decay}]
        return torch.optim.AdamW(groups)

    def _step(self, batch: NDArray[np.int64], optimiser: torch.optim.Optimizer) -> float:
        """Learns windows (b, 3); returns the loss."""
        network = self._network
        hidden = self._draw.random(network.shape.posts) < self._plan.id_dropout
        network.hide(torch.from_numpy(hidden).to(self._processes.device))
        loss = torch.stack(self._losses(batch)).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._processes.average(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), self._plan.clip)
        optimiser.step()
        return float(loss.detach())

    def _save(self, step: int, order: NDArray[np.int64], optimiser: torch.optim.Optimizer) -> None:
        if self._checkpoint is None or self._processes.count > 1:
            return
        draws = [draw.bit_generator.state for draw in (self._order_draw, self._draw)]
        arrays = training_state.of_network(self._network) | training_state.of_optimiser(optimiser)
        arrays |= {"order": order, "torch": torch.get_rng_state().numpy()}
        facts = {"key": self._key, "step": step, "draws": draws}
        training_state.save(self._checkpoint, training_state.State(arrays, facts))

    def _resumed(self, optimiser: torch.optim.Optimizer) -> tuple[int, NDArray[np.int64]]:
        """Steps done, and the order of the present epoch: of a training that was stopped, or from the beginning."""
        state = training_state.load(self._checkpoint) if self._checkpoint is not None else None
        if state is None or state.facts["key"] != self._key or self._processes.count > 1:
            return 0, np.empty(0, np.int64)
        training_state.into_network(self._network, state.arrays)
        training_state.into_optimiser(optimiser, state.arrays)
        torch.set_rng_state(torch.from_numpy(state.arrays["torch"]))
        for draw, kept in zip((self._order_draw, self._draw), state.facts["draws"], strict=True):
            draw.bit_generator.state = kept
        log.info("the training goes on where it was stopped", step=state.facts["step"])
        return int(state.facts["step"]), state.arrays["order"]

    def _losses(self, chosen: NDArray[np.int64]) -> list[Tensor]:
        """Of the two heads, over the places that are new in the chosen windows (b, 3)."""
        found, network = self._found, self._network
        places, there = filled(chosen)
        asked = there & (places >= chosen[:, 2:3])
        device = self._processes.device
        inputs = torch.from_numpy(places).to(device)
        posts, types, values, gaps = (each[inputs] for each in self._columns)
        states = network.tower.states(posts, types, values, gaps, torch.from_numpy(there).to(device))
        following, states = places[asked] + 1, states[torch.from_numpy(asked).to(device)]
        return [self._next_loss(states, following, found.new[following]), self._later_loss(states, following)]

    def _next_loss(self, states: Tensor, following: NDArray[np.int64], new: NDArray[np.bool_]) -> Tensor:
        """Of finding the post of the next event, where the user meets it for the first time."""
        users = self._network.tower.next(states[torch.from_numpy(new).to(states.device)])
        wanted = torch.from_numpy(self._found.posts[following[new]][:, None]).to(states.device)
        return self._softmax(self._network.next, users, wanted)

    def _later_loss(self, states: Tensor, following: NDArray[np.int64]) -> Tensor:
        """Of finding DRAWS of the next HORIZON positives."""
        first, count = self._first[following], (self._last - self._first)[following]
        some = count > 0
        users = self._network.tower.later(states[torch.from_numpy(some).to(states.device)])
        drawn = (self._draw.random((int(some.sum()), DRAWS)) * count[some][:, None]).astype(np.int64)
        wanted = torch.from_numpy(self._found.posts[self._targets[first[some][:, None] + drawn]]).to(states.device)
        return self._softmax(self._network.later, users, wanted)

    def _softmax(self, items: Items, users: Tensor, wanted: Tensor) -> Tensor:
        """Mean of −log softmax of the wanted posts (n, r), over all posts or, corrected by how likely they were to be
        drawn (logQ: Bengio, Senécal, 2008), over some."""
        if not len(users):
            return users.sum()
        if not self._sampled:
            return -functional.log_softmax(items.logits(users), dim=1).gather(1, wanted).mean()
        drawn = np.searchsorted(self._cumulated, self._draw.random(NEGATIVES))
        others = torch.from_numpy(np.minimum(drawn, len(self._cumulated) - 1)).to(users.device)
        logits = items.logits(users, others) - self._log_share[others] - math.log(NEGATIVES)
        right = items.logits_of(users, wanted)
        rest = torch.logsumexp(logits, dim=1, keepdim=True)
        return (torch.logaddexp(rest, right) - right).mean()
