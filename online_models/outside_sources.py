"""Sources that only feeds have, such as batch models: how far to trust each, learnt from what was taken of pages.

    z_i = z'_i + Σ_s w_s · x_is        loss = −log softmax(z)[chosen], over the posts of a page

z': what the blend says; x_is: v + r of post i in source s, as the page had it (online_models.candidates). Adagrad, as
in online_models.blend. Each begins with START, and those serve until the loss of what was learnt, decayed over some 500
clicks, is below theirs.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from .blend import FIRST_SUM, MEMORY, RATE, START

MOST = 32
"""Sources; what comes beyond is not learnt, whatever pages claim to have."""
LEAST = 0.0
"""A source that points the wrong way is left out, not turned round: its scores say nothing below the best."""

Float = NDArray[np.float32]


class OutsideSources(base.Base):  # type: ignore[misc]
    """A weight of each source, by name.

    Examples
    --------
    >>> model = OutsideSources()
    >>> page = {"graph": np.array([1.0, 0.0]), "svd": np.array([0.0, 1.0])}
    >>> for _ in range(50):
    ...     model.learn_one(np.zeros(2), page, 0)
    >>> weights = model.weights
    >>> weights["graph"] > START > weights["svd"]
    True
    """

    def __init__(self) -> None:
        self._learnt: dict[str, float] = {}
        self._sums: dict[str, float] = {}
        self._losses = np.zeros(2)

    @property
    def weights(self) -> dict[str, float]:
        """Of each source that was met: what serves."""
        better = self._losses[0] < self._losses[1]
        return {name: weight if better else START for name, weight in self._learnt.items()}

    def learn_one(
        self, logits: NDArray[Any], given: Mapping[str, NDArray[Any]], chosen: int, weight: float = 1.0
    ) -> None:  # fmt: skip
        """The user took the post `chosen` of those with logits (n,) of the blend and `given`: name → x (n,). weight: as
        in Blend.learn_one. What is no number teaches nothing."""
        known = {
            name: np.asarray(column, np.float64) for name, column in given.items()
            if np.isfinite(column).all() and (name in self._learnt or len(self._learnt) < MOST)
        }  # fmt: skip
        if not known or not np.isfinite(logits).all():
            return
        for name in known:
            self._learnt.setdefault(name, START)
        start = _share(logits + sum(START * column for column in known.values()))
        share = _share(logits + sum(self._learnt[name] * column for name, column in known.items()))
        losses = -weight * np.log(np.maximum([share[chosen], start[chosen]], 1e-12))
        self._losses = MEMORY * self._losses + (1.0 - MEMORY) * losses
        for name, column in known.items():
            slope = weight * float(share @ column - column[chosen])
            self._sums[name] = self._sums.get(name, FIRST_SUM) + slope * slope
            self._learnt[name] = max(self._learnt[name] - RATE * slope / float(np.sqrt(self._sums[name])), LEAST)

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps."""
        names = sorted(self._learnt)
        return {
            "names": np.frombuffer("\n".join(names).encode(), np.uint8).copy(), "losses": self._losses.copy(),
            "learnt": np.array([self._learnt[name] for name in names]),
            "sums": np.array([self._sums[name] for name in names]),
        }  # fmt: skip

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over. Raises ValueError for one of another kind."""
        names = [name for name in bytes(state["names"]).decode().split("\n") if name]
        self._learnt = dict(zip(names, state["learnt"].tolist(), strict=True))
        self._sums = dict(zip(names, state["sums"].tolist(), strict=True))
        self._losses = state["losses"].copy()


def _share(logits: NDArray[Any]) -> NDArray[np.float64]:
    share = np.exp(logits - logits.max())
    return np.asarray(share / share.sum())
