"""The blend: learns live, by listwise softmax over candidates, how far to trust each source and side feature.

    z_i = w · x_i + u · leaky(W x_i + b)        loss = −log softmax(z)[chosen]

x_i: features of candidate i (online_models.candidates, online_models.side_features); leaky slope SLOPE, HIDDEN units;
Adagrad. One step for the list of an event, then one for a list drawn from the last RING.

It begins near equal weights of all sources. Those serve by themselves until the loss of what was learnt, decayed over
some 500 lists, is below theirs: few data never make it worse.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

HIDDEN = 32
"""Against a linear blend: +.005 of NDCG@10 on a feed, +.002 on ML-100K."""
SLOPE = 0.1
START = 0.1
RATE = 0.04
FIRST_SUM = 0.01
RING = 1_000
"""Lists to learn once more, in half precision: some 40 MB. With 300, .001 less of recall@10 on ML-100K."""
MEMORY = 0.998
"""Decay of the losses that are compared."""
DRIFT = 0.25
"""What a drift leaves of the sums that slow learning down: steps are twice as long again."""

Float = NDArray[np.float32]


class Blend(base.Base):  # type: ignore[misc]
    """Weights over the features of candidates.

    Parameters
    ----------
    start
        The weight w that each feature begins with (width,): START for those of sources.
    seed
        Fixes what the hidden units begin with.

    Examples
    --------
    >>> model = Blend(start=np.array([START, START], np.float32))
    >>> lists = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], np.float32)
    >>> for turn in range(200):
    ...     model.learn_one(lists[turn % 2], 1 - turn % 2)
    >>> int(model.predict_many(lists[0]).argmax())
    1
    """

    def __init__(self, start: Float, seed: int = 4) -> None:
        self.start, self.seed = start, seed
        width = len(start)
        self._random = np.random.default_rng(seed)
        # Of the linear part, of each hidden unit and its constant, and of what each unit counts.
        self.linear = start.copy()
        self.inner = (self._random.normal(0.0, 1.0, (HIDDEN, width + 1)) / width).astype(np.float32)
        self.outer = self._random.normal(0.0, 0.05, HIDDEN).astype(np.float32)
        self._sums = [np.full_like(each, FIRST_SUM) for each in (self.linear, self.inner, self.outer)]
        self._losses = np.zeros(2)
        self._ring: list[tuple[NDArray[np.float16], int, float]] = []
        self._forwarded: tuple[Float, Float, Float] | None = None  # a list is predicted, then learnt
        self.lists = 0

    @property
    def serves_learnt(self) -> bool:
        """Whether what was learnt beats equal weights so far."""
        return bool(self._losses[0] < self._losses[1])

    def predict_many(self, features: Float) -> Float:
        """z (n,) of candidates with features (n, width); equal weights until what was learnt is better."""
        if not self.serves_learnt:
            return np.asarray(features @ self.start, np.float32)
        self._forwarded = features, *_forward(features, self.linear, self.inner, self.outer)
        return self._forwarded[1]

    def learn_one(self, features: Float, chosen: int, weight: float = 1.0) -> None:
        """The user took the candidate `chosen` of those with features (n, width). weight: for how many such lists this
        one stands (online_models.shown_lists). What is no number teaches nothing: it would stay."""
        if not np.isfinite(features).all():
            return
        losses = self._step(features, chosen, weight), weight * _loss(features @ self.start, chosen)
        self._losses = MEMORY * self._losses + (1.0 - MEMORY) * np.array(losses)
        if self._ring:
            again, taken, times = self._ring[int(self._random.integers(len(self._ring)))]
            self._step(again.astype(np.float32), taken, times)
        kept = features.astype(np.float16), chosen, weight
        if len(self._ring) < RING:
            self._ring.append(kept)
        else:
            self._ring[self.lists % RING] = kept
        self.lists += 1

    def hasten(self) -> None:
        """After a drift: longer steps."""
        for sums in self._sums:
            sums *= DRIFT

    def weights(self, names: list[str]) -> dict[str, float]:
        """What each source counts: the sum of its two linear weights."""
        linear = self.linear if self.serves_learnt else self.start
        return {name: float(linear[2 * at] + linear[2 * at + 1]) for at, name in enumerate(names)}

    def _step(self, features: Float, chosen: int, weight: float) -> float:
        """Returns the loss, times its weight."""
        if self._forwarded is not None and self._forwarded[0] is features:
            _, logits, hidden = self._forwarded
        else:
            logits, hidden = _forward(features, self.linear, self.inner, self.outer)
        self._forwarded = None
        gradient = np.exp(logits - logits.max())
        gradient /= gradient.sum()
        loss = -weight * float(np.log(max(gradient[chosen], 1e-12)))
        gradient[chosen] -= 1.0
        gradient *= np.float32(weight)
        back = np.outer(gradient, self.outer) * np.where(hidden < 0, np.float32(SLOPE), np.float32(1.0))
        inner = np.concatenate([back.T @ features, back.sum(0)[:, None]], axis=1)
        parts = (self.linear, self.inner, self.outer)
        for part, sums, each in zip(parts, self._sums, (gradient @ features, inner, gradient @ hidden), strict=True):
            sums += each * each
            part -= np.float32(RATE) * each / np.sqrt(sums)
        return loss

    def serving(self) -> "BlendWeights":
        """What a feed needs of it; equal weights until what was learnt is better."""
        if self.serves_learnt:
            return BlendWeights(self.linear.copy(), self.inner.copy(), self.outer.copy())
        return BlendWeights(self.start, self.inner.copy(), np.zeros_like(self.outer))

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps: weights and sums; lists in the ring are not worth it."""
        kept: dict[str, NDArray[Any]] = {"linear": self.linear, "inner": self.inner, "outer": self.outer}
        kept["losses"] = self._losses
        kept |= {f"sums{at}": sums for at, sums in enumerate(self._sums)}
        return {name: array.copy() for name, array in kept.items()} | {"lists": np.array(self.lists)}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over. Raises ValueError for features of another width."""
        if state["linear"].shape != self.linear.shape:
            raise ValueError(f"a blend of {len(state['linear'])} features, not {len(self.start)}")
        self.linear, self.inner, self.outer = (state[name].copy() for name in ("linear", "inner", "outer"))
        self._sums = [state[f"sums{at}"].copy() for at in range(3)]
        self._losses, self.lists = state["losses"].copy(), int(state["lists"])


class BlendWeights(NamedTuple):
    """linear (width,); inner (HIDDEN, width + 1), the last of each a constant; outer (HIDDEN,)."""

    linear: Float
    inner: Float
    outer: Float

    def predict_many(self, features: Float) -> Float:
        """z (n,) of candidates with features (n, width)."""
        return _forward(features, *self)[0]


def _forward(features: Float, linear: Float, inner: Float, outer: Float) -> tuple[Float, Float]:
    """z (n,) and the hidden units (n, HIDDEN)."""
    hidden = features @ inner[:, :-1].T + inner[:, -1]
    hidden = np.maximum(hidden, np.float32(SLOPE) * hidden)
    return features @ linear + hidden @ outer, hidden


def _loss(logits: Float, chosen: int) -> float:
    most = logits.max()
    return float(most + np.log(np.exp(logits - most).sum()) - logits[chosen])
