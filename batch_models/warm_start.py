"""Where a training begins that has a former one: with its network, posts mapped by id, so that only what is new has to
be learnt. A state is taken only when all that it learnt lies in the part, or an evaluation would know its answers.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from torch import nn

from . import training_state
from .course import Kept
from .dataset import Interactions
from .training_state import State

log = structlog.get_logger()

CHECKPOINT = "checkpoint.npz"
KEEP = 4
"""States: of the evaluations and of what serves, of two refreshes."""
FULL_SECONDS = 7 * 86_400.0
"""After so long everything is learnt anew."""
MOST_NEW = 0.5
"""A part of which more is new is learnt from the beginning, too."""
TOLERANCE = 0.02
"""Share of the events until the state's last one by which their number may differ: late ones, forgotten users."""

_OF_POSTS = (".own.weight", ".own", ".by_tokens", "bias.weight", "vectors.weight")
"""Names of tables with a row a post."""
_NO_CODES = np.empty(0, np.int64)


class Start(NamedTuple):
    """state: of the former training. since: the newest event that it learnt. full_at: when all was learnt anew."""

    state: State
    since: float
    full_at: float


class Line:
    """The trainings of one model, one after the other, that keep their states in a folder; None: they keep none.

    same: what another network would have to agree on. table: of its parameters, the vectors of posts that begin with a
    factorisation.
    """

    def __init__(self, folder: Path | None, part: Interactions, same: list[Any], table: str) -> None:
        self._folder, self._part, self._table, self._now = folder, part, f"network.{table}", time.time()
        self._same = [[[*each] for each in sorted(one.items())] if isinstance(one, Mapping) else one for one in same]
        self.start = best(folder, part, self._same, self._now) if folder is not None else None

    def turned(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of a factorisation (posts, width), as the former network would know them."""
        if self.start is None:
            return vectors
        return turned(vectors, self.start.state, self._part.post_ids, self._table)

    def begin(self, network: nn.Module, codes: NDArray[np.int64] = _NO_CODES) -> None:
        """Gives the network what the former one knew. codes: of its table of tokens."""
        if self.start is not None:
            begin_from(network, self.start.state, self._part.post_ids, codes)

    def kept(self) -> Kept:
        """For the course of this training."""
        if self._folder is None:
            return Kept()
        since = self.start.since if self.start is not None else None
        return Kept(self._folder / CHECKPOINT, f"{self._part.digest()} {self._same} {since}", since)

    def end(self, network: nn.Module, codes: NDArray[np.int64] = _NO_CODES) -> None:
        """Keeps what was learnt, and the checkpoint no longer."""
        if self._folder is None:
            return
        full_at = self.start.full_at if self.start is not None else self._now
        keep(self._folder, network, self._part, codes, self._same, full_at)
        (self._folder / CHECKPOINT).unlink(missing_ok=True)


def best(folder: Path, part: Interactions, shape: list[Any], now: float) -> Start | None:
    """The state that knows most of a part and nothing else; None when it is to be learnt from the beginning. shape:
    what has to be the same. now: seconds since 1970."""
    starts = []
    for path in sorted(folder.glob("state-*.npz")):
        state = training_state.load(path)
        if state is None or state.facts["shape"] != shape or now - state.facts["full_at"] > FULL_SECONDS:
            continue
        since, events = state.facts["until"], state.facts["events"]
        until = int(np.searchsorted(part.at, since, side="right"))
        within = since <= part.at[-1] and abs(until - events) <= TOLERANCE * events
        if within and until >= MOST_NEW * len(part):
            starts.append(Start(state, since, state.facts["full_at"]))
    return max(starts, key=lambda start: start.since, default=None)


def keep(
    folder: Path, network: nn.Module, part: Interactions, codes: NDArray[np.int64], shape: list[Any], full_at: float
) -> None:  # fmt: skip
    """Keeps the state of a network that learnt a part, and the newest KEEP in all."""
    arrays = training_state.of_network(network) | {"post_ids": part.post_ids, "codes": codes}
    facts = {"until": float(part.at[-1]), "events": len(part), "shape": shape, "full_at": full_at}
    training_state.save(folder / f"state-{part.at[-1]:.3f}.npz", State(arrays, facts))
    for old in sorted(folder.glob("state-*.npz"), key=lambda path: path.stat().st_mtime_ns)[:-KEEP]:
        old.unlink()


def turned(
    vectors: NDArray[np.float32], state: State, post_ids: NDArray[np.int64], table: str
) -> NDArray[np.float32]:  # fmt: skip
    """Vectors (posts, width) of another factorisation, turned to where those of the state lie: a factorisation is the
    same whichever way it is turned, and the network knows one."""
    here, there = _shared(post_ids, state.arrays["post_ids"])
    former = state.arrays[table][there]
    turn, _ = orthogonal_procrustes(vectors[here], former)
    return np.asarray(vectors @ turn, np.float32)


def begin_from(network: nn.Module, state: State, post_ids: NDArray[np.int64], codes: NDArray[np.int64]) -> None:
    """Gives a network all that the state knows; new posts and tokens keep what they begin with."""
    here, there = _shared(post_ids, state.arrays["post_ids"])
    of_code, of_former = _shared(codes, state.arrays["codes"])
    own = network.state_dict()
    with torch.no_grad():
        for name, tensor in own.items():
            former = torch.from_numpy(state.arrays[f"network.{name}"])
            if name.endswith(".tokens.weight"):
                tensor[of_code] = former[of_former]
            elif name.endswith(_OF_POSTS):
                tensor[here] = former[there]
            else:
                tensor.copy_(former)
    log.info("begins with the former network", posts=len(here), new=len(post_ids) - len(here))


def _shared(ids: NDArray[np.int64], former: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of what both have, here and there."""
    _, here, there = np.intersect1d(ids, former, assume_unique=True, return_indices=True)
    return here, there
