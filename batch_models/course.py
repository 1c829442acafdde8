"""What all trainings by gradients go through: a plan, batches in an order drawn anew each epoch, the rate, checkpoints,
and going on where one was stopped. A model brings its network and the loss of some of its examples.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import training_state
from .processes import Processes
from .progress import progress

log = structlog.get_logger()

FIRST, RISE = 0.04, 0.1
CHECKPOINT_SECONDS = 20.0
"""What a training that is killed loses at most; a state is written in .1 s."""
WARM_EPOCHS = 2
WARM_RATE = 0.5
"""Share of the rate, where the network knows most of it."""


@dataclass(frozen=True)
class Plan:
    """examples: learnt in all, so that each is learnt least_epochs to most_epochs times, but more often where there are
    fewer than least_steps batches. batch: of them, a step. rate: the highest, of Adam; it rises over the first tenth of
    the steps and falls to zero by a cosine. id_dropout: share of posts without their own vectors in a step.
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

    def steps(self, batches: int, examples: int) -> int:
        """Of a training from the beginning on so many examples, in so many batches an epoch."""
        epochs = min(max(self.examples / max(examples, 1), self.least_epochs), self.most_epochs)
        return max(math.ceil(epochs * batches), math.ceil(self.least_steps / batches) * batches)


@dataclass(frozen=True)
class Job:
    """What settings say of a training. folder: where it keeps its states, None for nowhere."""

    plan: Plan
    folder: Path | None = None


class Kept(NamedTuple):
    """checkpoint: where the state is kept while a training runs, and taken from; key: of what it is. since: seconds
    since 1970; the network knows what happened until then, and learns what came later and as much of the former."""

    checkpoint: Path | None = None
    key: str = ""
    since: float | None = None


def rate_at(share: float) -> float:
    """Of the highest rate, after a share of the steps: up from a 25th of it over the first tenth, then down to nearly
    zero, both by cosines (Smith, Topin, Super-convergence, 2019)."""
    if share < RISE:
        return FIRST + (1.0 - FIRST) * (1.0 - math.cos(math.pi * share / RISE)) / 2
    return (1.0 + math.cos(math.pi * (share - RISE) / (1.0 - RISE))) / 2


class Course:
    """One training. seed: fixes all draws but torch's. draw: for losses. processes: of a training in several."""

    def __init__(
        self, name: str, network: nn.Module, plan: Plan, seed: int, kept: Kept, processes: Processes | None = None
    ) -> None:  # fmt: skip
        self._name, self._network, self._plan, self._kept, self._processes = name, network, plan, kept, processes
        self._count = processes.count if processes is not None else 1
        self._highest = plan.rate * (1.0 if kept.since is None else WARM_RATE)
        self._order_draw = np.random.default_rng(seed)
        self.draw = np.random.default_rng([seed, processes.rank if processes is not None else 0])
        self._seed = seed

    def chosen(self, at: NDArray[np.float64]) -> NDArray[np.int64]:
        """Of examples that happened `at` (n,): all, or those that are new and as many others."""
        if self._kept.since is None:
            return np.arange(len(at))
        new = at > self._kept.since
        count = min(int(new.sum()), int((~new).sum()))
        others = self._order_draw.choice(np.flatnonzero(~new), count, replace=False) if count else np.empty(0, np.int64)
        return np.concatenate([np.flatnonzero(new), others])

    def run(
        self, loss: Callable[[NDArray[np.int64]], Tensor], count: int, tables: Sequence[Tensor], *,
        places: int | None = None, least: int = 1, clipped: Sequence[nn.Parameter] | None = None,
    ) -> None:  # fmt: skip
        """All steps. loss: of examples (b,), numbers below `count`. tables: parameters that get no decay. places: what
        Plan.examples counts, `count` of them without it. least: a batch with fewer is left out. clipped: parameters
        whose gradients are; all without it."""
        if count < max(least, 1):
            return
        plan, known = self._plan, {id(table) for table in tables}
        rest = [each for each in self._network.parameters() if id(each) not in known]
        optimiser = torch.optim.AdamW([
            {"params": [*tables], "weight_decay": 0.0}, {"params": rest, "weight_decay": plan.weight_decay}
        ])  # fmt: skip
        batches = max((count - least) // plan.batch + 1, 1)
        warm = self._kept.since is not None
        steps = WARM_EPOCHS * batches if warm else plan.steps(batches, count if places is None else places)
        if self._count > 1 and self._processes is not None:
            torch.manual_seed(torch.initial_seed() + self._processes.rank)
        self._network.train()
        key = f"{self._kept.key} {plan} {self._seed} {count} {self._count}"
        step, order = self._resumed(optimiser, key)
        saved = time.monotonic()
        with progress(self._name, steps, step) as told:
            while step < steps:
                if step % batches == 0:
                    order = self._order_draw.permutation(count)
                start = step % batches * plan.batch
                for group in optimiser.param_groups:
                    group["lr"] = self._highest * rate_at(step / steps)
                found = self._step(loss, order[start : start + plan.batch], optimiser, clipped)
                step += 1
                told(step, found)
                if time.monotonic() - saved > CHECKPOINT_SECONDS and step < steps:
                    self._save(step, order, optimiser, key)
                    saved = time.monotonic()
        self._network.eval()

    def _step(
        self, loss: Callable[[NDArray[np.int64]], Tensor], batch: NDArray[np.int64], optimiser: torch.optim.Optimizer,
        clipped: Sequence[nn.Parameter] | None,
    ) -> float:  # fmt: skip
        """Learns a batch; returns its loss."""
        found = loss(batch if self._processes is None else batch[self._processes.share(len(batch))])
        optimiser.zero_grad()
        found.backward()  # type: ignore[no-untyped-call]
        if self._processes is not None:
            self._processes.average(self._network.parameters())
        nn.utils.clip_grad_norm_(self._network.parameters() if clipped is None else clipped, self._plan.clip)
        optimiser.step()
        return float(found.detach())

    def _save(self, step: int, order: NDArray[np.int64], optimiser: torch.optim.Optimizer, key: str) -> None:
        if self._kept.checkpoint is None or self._count > 1:
            return
        draws = [draw.bit_generator.state for draw in (self._order_draw, self.draw)]
        arrays = training_state.of_network(self._network) | training_state.of_optimiser(optimiser)
        arrays |= {"order": order, "torch": torch.get_rng_state().numpy()}
        facts = {"key": key, "step": step, "draws": draws}
        training_state.save(self._kept.checkpoint, training_state.State(arrays, facts))

    def _resumed(self, optimiser: torch.optim.Optimizer, key: str) -> tuple[int, NDArray[np.int64]]:
        """Steps done, and the order of the present epoch: of a training that was stopped, or from the beginning."""
        path = self._kept.checkpoint
        state = training_state.load(path) if path is not None else None
        if state is None or state.facts["key"] != key or self._count > 1:
            return 0, np.empty(0, np.int64)
        training_state.into_network(self._network, state.arrays)
        training_state.into_optimiser(optimiser, state.arrays)
        torch.set_rng_state(torch.from_numpy(state.arrays["torch"]))
        for draw, kept in zip((self._order_draw, self.draw), state.facts["draws"], strict=True):
            draw.bit_generator.state = kept
        log.info("the training goes on where it was stopped", model=self._name, step=state.facts["step"])
        return int(state.facts["step"]), state.arrays["order"]
