"""Which of all posts is the one: softmax over all of them, or over some, and what a user will be glad of later."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .event_sequences import EventSequences

HORIZON = 50
"""Positives ahead that an example may be asked for."""
ALL_POSTS = 4_096
"""Up to so many posts the softmax goes over all of them; beyond, over NEGATIVES drawn by popularity."""
NEGATIVES = 1_024


class SampledSoftmax:
    """met (posts,): how often each is met, by which posts are drawn."""

    def __init__(self, met: NDArray[np.int64], device: torch.device | None = None) -> None:
        shares = (met + 1.0) / (met + 1.0).sum()
        self._cumulated, self._sampled = np.cumsum(shares), len(met) > ALL_POSTS
        self._log_share = torch.tensor(np.log(shares), dtype=torch.float32, device=device)

    def loss(
        self, wanted: Tensor, logits: Callable[[Tensor | None], Tensor], logits_of: Callable[[Tensor], Tensor],
        draw: np.random.Generator,
    ) -> Tensor:  # fmt: skip
        """Mean of −log softmax of the wanted posts (n, r), over all posts or, corrected by how likely they were to be
        drawn (logQ: Bengio, Senécal, 2008), over some. logits: (n, p) of posts (p,), all for None. logits_of: (n, r) of
        posts (n, r)."""
        if not self._sampled:
            return -functional.log_softmax(logits(None), dim=1).gather(1, wanted).mean()
        drawn = np.searchsorted(self._cumulated, draw.random(NEGATIVES))
        others = torch.from_numpy(np.minimum(drawn, len(self._cumulated) - 1)).to(wanted.device)
        corrected = logits(others) - self._log_share[others] - math.log(NEGATIVES)
        right = logits_of(wanted)
        return (torch.logaddexp(torch.logsumexp(corrected, dim=1, keepdim=True), right) - right).mean()


class Ahead:
    """The next HORIZON positives of each place in the events of all."""

    def __init__(self, found: EventSequences) -> None:
        places = np.arange(len(found.posts))
        self._good = np.flatnonzero(found.good)
        self._first = np.searchsorted(self._good, places)
        self._last = np.minimum(self._first + HORIZON, np.searchsorted(self._good, found.ends))

    def some(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) whether there is one at or after each of `places` (n,)."""
        return np.asarray(self._last[places] > self._first[places])

    def drawn(self, places: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Places (n, r) of positives, by draws (n, r) between 0 and 1; each of `places` (n,) has some."""
        first, count = self._first[places], (self._last - self._first)[places]
        return np.asarray(self._good[first[:, None] + (draws * count[:, None]).astype(np.int64)])
