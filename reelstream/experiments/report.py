"""The report of an experiment: what each variant did, and how sure that is, whenever one looks."""

from collections import Counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import anytime, off_policy
from .anytime import Estimate
from .record import Recorded

UNBALANCED = 0.01
"""A sample ratio with a p below it is named."""

Interval = tuple[float, float] | None


class Measured(msgspec.Struct, kw_only=True):
    """value: ratio of sums over the users of a variant, None without any. interval: of it. difference, its interval and
    p: to the control; None for the control, and for too few users (anytime.LEAST_USERS)."""

    value: float | None
    interval: Interval
    difference: float | None = None
    difference_interval: Interval = None
    p: float | None = None


class Explored(msgspec.Struct, kw_only=True):
    """The place for exploration. shown: how often. drawn: clicks a showing. uniform: what a draw with the same chance
    for each post would have earned, by SNIPS, with its interval and effective sample size."""

    shown: int
    drawn: float | None
    uniform: float | None
    uniform_interval: Interval
    effective_sample_size: float


class OfVariant(msgspec.Struct, kw_only=True):
    """control: what the others are compared with. metrics: ctr and likes an impression, watched fraction a view."""

    variant: str
    control: bool
    users: int
    pages: int
    impressions: int
    metrics: dict[str, Measured]
    exploration: Explored


class Report(msgspec.Struct, kw_only=True):
    """sample_ratio_p: always-valid, of the users being dealt as planned. balanced: it is not below UNBALANCED.
    in_several: users that were shown more than one variant, as when weights were changed; they are left out.
    """

    experiment: str
    alpha: float
    variants: list[OfVariant]
    sample_ratio_p: float
    balanced: bool
    in_several: int


def report(
    experiment: str, names: list[str], weights: list[float], recorded: Recorded, alpha: float = anytime.ALPHA
) -> Report:
    """names, weights: of the variants, the control first."""
    several = {name for name, count in Counter(recorded.names).items() if count > 1}
    one = np.array([name not in several for name in recorded.names], np.bool_)
    explorers = np.array([name not in several for name in recorded.explorers], np.bool_)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(recorded.explorers))}
    readers = np.array([numbers[name] for name in recorded.explorers], np.int64)
    counts = [int(np.count_nonzero(one & (recorded.variants == variant))) for variant in range(len(names))]
    found: list[OfVariant] = []
    controls: dict[str, Estimate | None] = {}
    for variant, name in enumerate(names):
        mine = one & (recorded.variants == variant)
        estimates = {
            "ctr": anytime.ratio(recorded.clicks[mine], recorded.shown[mine]),
            "likes": anytime.ratio(recorded.likes[mine], recorded.shown[mine]),
            "watched": anytime.ratio(recorded.watched[mine], recorded.views[mine]),
        }
        controls = controls or estimates
        found.append(
            OfVariant(
                variant=name,
                control=variant == 0,
                users=counts[variant],
                pages=int(recorded.pages[mine].sum()),
                impressions=int(recorded.shown[mine].sum()),
                metrics={
                    metric: _measured(estimate, None if variant == 0 else controls[metric], controls[metric], alpha)
                    for metric, estimate in estimates.items()
                },
                exploration=_explored(recorded, readers, explorers & (recorded.explored == variant), alpha),
            )
        )
    p = anytime.sample_ratio_p(counts, weights)
    return Report(
        experiment=experiment, alpha=alpha, variants=found, sample_ratio_p=p, balanced=p >= UNBALANCED,
        in_several=len(several),
    )  # fmt: skip


def _measured(mine: Estimate | None, other: Estimate | None, control: Estimate | None, alpha: float) -> Measured:
    if mine is None:
        return Measured(value=None, interval=None)
    scale = anytime.EFFECT * (mine if control is None else control).value
    measured = Measured(value=mine.value, interval=_not_negative(anytime.interval(mine, scale, alpha)))
    if other is not None:
        difference = mine.minus(other)
        measured.difference = difference.value
        measured.difference_interval = anytime.interval(difference, scale, alpha)
        measured.p = anytime.p_value(difference, scale)
    return measured


def _not_negative(found: Interval) -> Interval:
    """None of what is measured is below 0."""
    return None if found is None else (max(found[0], 0.0), found[1])


def _explored(recorded: Recorded, readers: NDArray[np.int64], mine: NDArray[np.bool_], alpha: float) -> Explored:
    """The pool has 16 posts as a rule (api/selector/exploration.py): the chance of a uniform draw is the same for all,
    and as weights are normalised, how large it is does not matter."""
    taken, logged = recorded.taken[mine], recorded.propensities[mine]
    other = off_policy.snips(taken, logged, np.ones(len(logged)), readers[mine])
    estimate = other.estimate
    return Explored(
        shown=other.shown,
        drawn=float(taken.mean()) if len(taken) else None,
        uniform=None if estimate is None else estimate.value,
        uniform_interval=None
        if estimate is None
        else _not_negative(anytime.interval(estimate, anytime.EFFECT * estimate.value, alpha)),
        effective_sample_size=other.effective,
    )
