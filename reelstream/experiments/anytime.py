"""Intervals and p-values that hold whenever one looks, and as often as one looks.

An estimate d with variance V is tested against 0 by the mixture sequential probability ratio test with a normal prior
N(0, τ²) over effects (Robbins 1970; Johari, Koomen, Pekelis and Walsh, "Always valid inference", Operations Research
2022):

    Λ = √(V / (V + τ²)) · exp(τ² d² / (2 V (V + τ²)))        p = min(1, 1 / Λ)

and the interval is what p ≥ alpha does not refuse. V is estimated, which makes it hold asymptotically (Waudby-Smith,
Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory", Annals of Statistics 2024). Units are users: all
that one of them did is one observation, so V is that of a ratio of sums by clusters (Deng, Lu and Litz, WSDM 2017).
"""

from dataclasses import dataclass
from math import exp, lgamma, log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.05
LEAST_USERS = 100
"""Of a variant: with fewer its variance is not known well enough, and nothing is said."""
EFFECT = 0.1
"""τ as a part of the mean: effects of a tenth are found soonest."""
CONCENTRATION = 1_000.0
"""Of the prior of a sample ratio: as if so many users had shown that it is nearly as planned."""


@dataclass(frozen=True)
class Estimate:
    """value: a ratio of sums, or a difference of two. variance: of it, by users. users: how many."""

    value: float
    variance: float
    users: int

    @property
    def usable(self) -> bool:
        return self.users >= LEAST_USERS and self.variance > 0

    def minus(self, other: "Estimate") -> "Estimate":
        """Of two variants, which have no user in common."""
        return Estimate(self.value - other.value, self.variance + other.variance, min(self.users, other.users))


def ratio(numerators: ArrayLike, denominators: ArrayLike) -> Estimate | None:
    """Σ numerators / Σ denominators, of users (u,). None when there is nothing to divide by, or one user only."""
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    users, total = int(np.count_nonzero(below)), float(below.sum())
    if users < 2 or total <= 0:
        return None
    value = float(above.sum()) / total
    left = above - value * below
    return Estimate(value, float(left @ left) / total**2 * users / (users - 1), users)


def interval(estimate: Estimate, scale: float, alpha: float = ALPHA) -> tuple[float, float] | None:
    """What holds the true value at all times at once with a chance of 1 − alpha. scale: τ. None for too few users."""
    if not estimate.usable or scale <= 0:
        return None
    v, t = estimate.variance, scale**2
    half = sqrt(v * (v + t) / t * (2.0 * log(1.0 / alpha) + log((v + t) / v)))
    return estimate.value - half, estimate.value + half


def p_value(difference: Estimate, scale: float) -> float | None:
    """Of no difference: at or below alpha at any time at all with a chance of alpha at most, where there is none."""
    if not difference.usable or scale <= 0:
        return None
    v, t = difference.variance, scale**2
    evidence = t * difference.value**2 / (2.0 * v * (v + t)) - 0.5 * log((v + t) / v)
    return exp(min(-evidence, 0.0))


def sample_ratio_p(counts: ArrayLike, weights: ArrayLike) -> float:
    """Of users (k,) dealt as `weights` (k,) say: an always-valid p by a multinomial against a Dirichlet prior around
    it (Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022)."""
    found, planned = np.asarray(counts, np.float64), np.asarray(weights, np.float64)
    shares: NDArray[np.float64] = planned / planned.sum()
    prior = CONCENTRATION * shares
    evidence = lgamma(CONCENTRATION) - lgamma(CONCENTRATION + float(found.sum()))
    for n, a, share in zip(found.tolist(), prior.tolist(), shares.tolist(), strict=True):
        evidence += lgamma(a + n) - lgamma(a) - n * log(share)
    return exp(min(-evidence, 0.0))
