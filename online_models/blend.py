"""The blend: learns live, by listwise softmax over candidates, how far to trust each source and side feature.

    z_i = w · x_i + u · leaky(W x_i + b)        loss = −log softmax(z)[chosen]

x_i: features of candidate i (online_models.candidates, online_models.side_features); leaky slope SLOPE, HIDDEN units;
Adagrad. One step for the list of an event, then one for a list drawn from the last RING.

Some of the features stand for themselves and for their products with facts of the user, the gates: those are the same
for all candidates of a list, so the weights of the products are added up before candidates are looked at, which halves
the work, and lists in the ring.

It begins near equal weights of all sources. Those serve by themselves until the loss of what was learnt, decayed over
some 500 lists, is below theirs: few data never make it worse.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

from .compiled import compiled, compiled_sums

HIDDEN = 32
"""Against a linear blend: +.005 of NDCG@10 on a feed, +.002 on ML-100K."""
SLOPE = 0.1
START = 0.1
RATE = 0.04
FIRST_SUM = 0.01
RING = 1_000
"""Lists to learn once more, in 16 bits a feature: some 25 MB. With 300, .001 less of recall@10 on ML-100K."""
UNIT = np.float32(1.0 / 2_048.0)
"""Of features in the ring, up to ± 16. To and from half precision took 83 µs a list, this takes 10."""
MEMORY = 0.998
"""Decay of the losses that are compared."""
DRIFT = 0.25
"""What a drift leaves of the sums that slow learning down: steps are twice as long again."""

Float = NDArray[np.float32]


class Gates(NamedTuple):
    """The first `gated` of the features are also multiplied with each of those at `columns`, which are facts of the
    user. Weights w and W are those of the features, then of the products with the first gate, with the second, …"""

    gated: int = 0
    columns: tuple[int, ...] = ()


UNGATED = Gates()


class Blend(base.Base):  # type: ignore[misc]
    """Weights over the features of candidates.

    Parameters
    ----------
    start
        The weight w that each feature and each product begins with (weights,): START for those of sources.
    seed
        Fixes what the hidden units begin with.
    gates
        Which products there are.

    Examples
    --------
    >>> model = Blend(start=np.array([START, START], np.float32))
    >>> lists = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], np.float32)
    >>> for turn in range(200):
    ...     model.learn_one(lists[turn % 2], 1 - turn % 2)
    >>> int(model.predict_many(lists[0]).argmax())
    1
    """

    def __init__(self, start: Float, seed: int = 4, gates: Gates = UNGATED) -> None:
        self.start, self.seed, self.gates = start, seed, gates
        width = len(start)
        self._random = np.random.default_rng(seed)
        # Of the linear part, of each hidden unit and its constant, and of what each unit counts.
        self.linear = start.copy()
        self.inner = (self._random.normal(0.0, 1.0, (HIDDEN, width + 1)) / width).astype(np.float32)
        self.outer = self._random.normal(0.0, 0.05, HIDDEN).astype(np.float32)
        self._sums = [np.full_like(each, FIRST_SUM) for each in (self.linear, self.inner, self.outer)]
        self._losses = np.zeros(2)
        self._ring: list[tuple[NDArray[np.int16], int, float]] = []
        self._forwarded: tuple[Float, Float, Float] | None = None  # a list is predicted, then learnt
        self.lists = 0

    @property
    def serves_learnt(self) -> bool:
        """Whether what was learnt beats equal weights so far."""
        return bool(self._losses[0] < self._losses[1])

    def predict_many(self, features: Float) -> Float:
        """z (n,) of candidates with features (n, width); equal weights until what was learnt is better."""
        if not self.serves_learnt:
            return _linear(features, self.start, self.gates)
        self._forwarded = features, *_forward(features, self.linear, self.inner, self.outer, self.gates)
        return self._forwarded[1]

    def learn_one(self, features: Float, chosen: int, weight: float = 1.0) -> None:
        """The user took the candidate `chosen` of those with features (n, width). weight: for how many such lists this
        one stands (online_models.shown_lists). What is no number teaches nothing: it would stay."""
        if not np.isfinite(features).all():
            return
        equal = weight * _loss(_linear(features, self.start, self.gates), chosen)
        self._losses *= MEMORY
        self._losses += (1.0 - MEMORY) * self._step(features, chosen, weight), (1.0 - MEMORY) * equal
        if self._ring:
            again, taken, times = self._ring[int(self._random.integers(len(self._ring)))]
            self._step(_unpacked(again), taken, times)
        kept = _packed(features), chosen, weight
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
            logits, hidden = _forward(features, self.linear, self.inner, self.outer, self.gates)
        self._forwarded = None
        loss, slope = _slopes(logits, hidden, self.outer, chosen, np.float32(weight))
        (of_linear, of_inner, of_outer), (gated, opened) = self._sums, _plan(features, self.gates)
        _adagrad(
            features, slope, hidden, self.linear, self.inner, self.outer, of_linear, of_inner, of_outer, gated, opened
        )
        return float(loss)

    def serving(self) -> "BlendWeights":
        """What a feed needs of it; equal weights until what was learnt is better."""
        if self.serves_learnt:
            return BlendWeights(self.linear.copy(), self.inner.copy(), self.outer.copy(), self.gates)
        return BlendWeights(self.start, self.inner.copy(), np.zeros_like(self.outer), self.gates)

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
    """linear (weights,); inner (HIDDEN, weights + 1), the last of each a constant; outer (HIDDEN,)."""

    linear: Float
    inner: Float
    outer: Float
    gates: Gates

    def predict_many(self, features: Float) -> Float:
        """z (n,) of candidates with features (n, width)."""
        return _forward(features, *self)[0]


def _plan(features: Float, gates: Gates) -> tuple[int, Float]:
    """How many features are gated, and the gates of this list (g,)."""
    return gates.gated, features[0].take(gates.columns)


def _unpacked(codes: NDArray[np.int16]) -> Float:
    """Features (n, width) of a list in the ring."""
    return np.asarray(codes * UNIT, np.float32)


@compiled
def _packed(features: Any) -> Any:
    codes = np.empty(features.shape, np.int16)
    for row in range(features.shape[0]):
        for at in range(features.shape[1]):
            code = np.rint(features[row, at] / UNIT)
            codes[row, at] = min(max(code, np.float32(-32_767)), np.float32(32_767))
    return codes


def _linear(features: Float, linear: Float, gates: Gates) -> Float:
    gated, opened = _plan(features, gates)
    width = features.shape[1]
    weights = linear[:width].copy()
    weights[:gated] += opened @ linear[width:].reshape(len(opened), gated)
    return np.asarray(features @ weights, np.float32)


def _forward(features: Float, linear: Float, inner: Float, outer: Float, gates: Gates) -> tuple[Float, Float]:
    """z (n,) and the hidden units (n, HIDDEN)."""
    logits, hidden = np.empty(len(features), np.float32), np.empty((len(features), HIDDEN), np.float32)
    _fill(features, linear, inner, outer, *_plan(features, gates), logits, hidden)
    return logits, hidden


@compiled_sums
def _fill(
    features: Any, linear: Any, inner: Any, outer: Any, gated: Any, opened: Any, logits: Any, hidden: Any
) -> None:  # fmt: skip
    count, width = features.shape
    straight, weights = linear[:width].copy(), np.ascontiguousarray(inner[:, :width].T)
    for gate in range(len(opened)):
        first = width + gate * gated
        for at in range(gated):
            straight[at] += opened[gate] * linear[first + at]
            for unit in range(HIDDEN):
                weights[at, unit] += opened[gate] * inner[unit, first + at]
    np.dot(features, weights, hidden)
    constants = inner[:, -1].copy()
    for row in range(count):
        z = np.float32(0)
        for at in range(width):
            z += features[row, at] * straight[at]
        for unit in range(HIDDEN):
            value = hidden[row, unit] + constants[unit]
            value = max(value, np.float32(SLOPE) * value)
            hidden[row, unit] = value
            z += value * outer[unit]
        logits[row] = z


@compiled_sums
def _slopes(logits: Any, hidden: Any, outer: Any, chosen: Any, weight: Any) -> tuple[Any, Any]:
    """The loss times its weight, and its slopes (n, 1 + HIDDEN) by z and by what goes into each hidden unit."""
    count = len(logits)
    most, total = logits.max(), np.float32(0)
    slopes = np.empty((count, 1 + HIDDEN), np.float32)
    for row in range(count):
        slopes[row, 0] = np.exp(logits[row] - most)
        total += slopes[row, 0]
    loss = -weight * np.log(max(slopes[chosen, 0] / total, np.float32(1e-12)))
    for row in range(count):
        slope = weight * (slopes[row, 0] / total - (np.float32(1) if row == chosen else np.float32(0)))
        slopes[row, 0] = slope
        for unit in range(HIDDEN):
            leaked = np.float32(SLOPE) if hidden[row, unit] < 0 else np.float32(1)
            slopes[row, 1 + unit] = slope * outer[unit] * leaked
    return loss, slopes


@compiled_sums
def _adagrad(
    features: Any, slopes: Any, hidden: Any, linear: Any, inner: Any, outer: Any, linear_sums: Any, inner_sums: Any,
    outer_sums: Any, gated: Any, opened: Any,
) -> None:  # fmt: skip
    """A step of all weights; those of products get the slopes of their features, times the gate."""
    width = features.shape[1]
    whole = np.dot(slopes.T, features)
    for unit in range(1 + HIDDEN):
        weights, sums = (linear, linear_sums) if unit == 0 else (inner[unit - 1], inner_sums[unit - 1])
        for at in range(width):
            _move(weights, sums, at, whole[unit, at])
        for gate in range(len(opened)):
            for at in range(gated):
                _move(weights, sums, width + gate * gated + at, opened[gate] * whole[unit, at])
    for unit in range(HIDDEN):
        constant, counted = np.float32(0), np.float32(0)
        for row in range(len(features)):
            constant += slopes[row, 1 + unit]
            counted += slopes[row, 0] * hidden[row, unit]
        _move(inner[unit], inner_sums[unit], inner.shape[1] - 1, constant)
        _move(outer, outer_sums, unit, counted)


@compiled_sums
def _move(weights: Any, sums: Any, at: Any, slope: Any) -> None:
    sums[at] += slope * slope
    weights[at] -= np.float32(RATE) * slope / np.sqrt(sums[at])


def _loss(logits: Float, chosen: int) -> float:
    most = logits.max()
    return float(most + np.log(np.exp(logits - most).sum()) - logits[chosen])
