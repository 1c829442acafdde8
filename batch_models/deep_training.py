"""How the deep model is trained: every place of every user's events, two losses, one optimiser."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .course import Course, Kept, Plan
from .deep_network import Items, Network
from .event_sequences import EventSequences, filled, windows
from .processes import Processes
from .sampled_softmax import Ahead, SampledSoftmax

DRAWS = 4
"""Of the positives ahead, drawn anew each time."""


def begin_biases(network: Network, found: EventSequences) -> None:
    """Biases of both heads from how many users met each post, and were glad of it."""
    with torch.no_grad():
        for items, which in ((network.next, found.new), (network.later, found.good)):
            met = np.bincount(found.posts[which], minlength=network.shape.posts)
            items.bias.weight[:, 0] = torch.tensor(np.log1p(met) / 2, dtype=torch.float32)


class Training:
    """One run over the events of a part. seed: fixes everything drawn; torch's own generator is set to it."""

    def __init__(
        self, network: Network, found: EventSequences, plan: Plan, seed: int, kept: Kept | None = None
    ) -> None:  # fmt: skip
        self._network, self._found, self._plan = network, found, plan
        self._processes = Processes()
        self._course = Course("deep", network, plan, seed, kept or Kept(), self._processes)
        self._draw = self._course.draw
        every = windows(found)
        self._windows = every[self._course.chosen(found.at[every[:, 1]])]
        self._ahead = Ahead(found)
        device = self._processes.device
        self._softmax = SampledSoftmax(np.bincount(found.posts, minlength=network.shape.posts), device)
        columns = found.posts, found.types, found.values, found.gaps
        self._columns = [torch.from_numpy(each).to(device) for each in columns]

    def run(self) -> None:
        """All epochs. Nothing happens when nobody did two things. In several processes, each does its share."""
        network = self._network.to(self._processes.device)
        # Vectors of posts get no decay: it would pull rare posts towards none.
        tables = [each.weight for each in network.modules() if isinstance(each, nn.Embedding)]
        places = int((self._windows[:, 1] - self._windows[:, 2]).sum())
        self._course.run(self._loss, len(self._windows), tables, places=places)
        network.hide(None)
        network.cpu()

    def _loss(self, batch: NDArray[np.int64]) -> Tensor:
        """Of the windows named (b,)."""
        hidden = self._draw.random(self._network.shape.posts) < self._plan.id_dropout
        self._network.hide(torch.from_numpy(hidden).to(self._processes.device))
        return torch.stack(self._losses(self._windows[batch])).sum()

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
        return self._softmax_of(self._network.next, users, wanted)

    def _later_loss(self, states: Tensor, following: NDArray[np.int64]) -> Tensor:
        """Of finding DRAWS of the next positives."""
        some = self._ahead.some(following)
        users = self._network.tower.later(states[torch.from_numpy(some).to(states.device)])
        drawn = self._ahead.drawn(following[some], self._draw.random((int(some.sum()), DRAWS)))
        wanted = torch.from_numpy(self._found.posts[drawn]).to(states.device)
        return self._softmax_of(self._network.later, users, wanted)

    def _softmax_of(self, items: Items, users: Tensor, wanted: Tensor) -> Tensor:
        if not len(users):
            return users.sum()
        return self._softmax.loss(
            wanted, lambda posts: items.logits(users, posts), lambda posts: items.logits_of(users, posts), self._draw
        )
