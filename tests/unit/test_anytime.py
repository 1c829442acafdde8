"""Statistics of experiments: wrong no more often than said, however often one looks, and able to find what is there."""

import numpy as np
import pytest
from numpy.typing import NDArray

from reelstream.experiments import anytime, off_policy
from reelstream.experiments.anytime import Estimate, interval, p_value, ratio, sample_ratio_p

STREAMS, DAYS, A_DAY = 150, 30, 40


def days(random: np.random.Generator, lift: float = 0.0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clicks and impressions (DAYS, users) until each day: users come A_DAY a day and come back, differ in how much
    they watch and in what they click, so that their impressions are anything but independent."""
    users = DAYS * A_DAY
    came, rate = np.repeat(np.arange(DAYS), A_DAY), random.beta(1, 9, users)
    pages, faithful = random.gamma(0.7, 12.0, users), 0.6 * random.random(users)
    day = np.arange(DAYS)[:, None]
    there = (came == day) | ((came < day) & (random.random((DAYS, users)) < faithful))
    shown = np.where(there, 1 + random.poisson(pages, (DAYS, users)), 0)
    clicks = random.binomial(shown, np.minimum(rate * (1.0 + lift), 1.0))
    return clicks.cumsum(axis=0), shown.cumsum(axis=0)


def looks(random: np.random.Generator, lift: float = 0.0) -> list[tuple[Estimate, float]]:
    """The difference of two variants each day, and the scale of its prior."""
    (clicks, shown), (others, seen) = days(random), days(random, lift)
    found = []
    for day in range(DAYS):
        control, treated = ratio(clicks[day], shown[day]), ratio(others[day], seen[day])
        assert control is not None
        assert treated is not None
        found.append((treated.minus(control), anytime.EFFECT * control.value))
    return found


def test_who_looks_each_day_is_wrong_no_more_often_than_said_and_with_common_intervals_much_more_often() -> None:
    random = np.random.default_rng(1)
    wrong = common = outside = 0
    for _ in range(STREAMS):
        seen = looks(random)
        ps = [p for difference, scale in seen if (p := p_value(difference, scale)) is not None]
        wrong += min(ps) <= anytime.ALPHA
        intervals = [found for difference, scale in seen if (found := interval(difference, scale)) is not None]
        outside += any(not low <= 0.0 <= high for low, high in intervals)
        common += any(abs(each.value) > 1.96 * each.variance**0.5 for each, _ in seen if each.usable)
    # .05 of 150 are 7.5; a common test with daily looks errs in one of seven.
    assert wrong <= anytime.ALPHA * STREAMS
    assert outside == wrong
    assert common > 2 * anytime.ALPHA * STREAMS


def test_who_looks_after_every_user_is_wrong_no_more_often_than_said() -> None:
    random = np.random.default_rng(5)
    streams, users, wrong = 200, 1_000, 0
    count = np.arange(1, users + 1)
    for _ in range(streams):
        # Ten impressions a user: then the ratio is a mean over users.
        rates = random.binomial(10, random.beta(1, 9, (2, users))) / 10
        means = rates.cumsum(axis=1) / count
        variances = ((rates**2).cumsum(axis=1) / count - means**2) / np.maximum(count - 1, 1)
        wrong += any(
            (p := p_value(Estimate(float(m[1] - m[0]), float(v.sum()), n), anytime.EFFECT * float(m[0]))) is not None
            and p <= anytime.ALPHA
            for n, m, v in zip(count.tolist(), means.T, variances.T, strict=True)
        )
    assert wrong <= anytime.ALPHA * streams


def test_an_effect_is_found_and_its_size_lies_within_the_interval() -> None:
    random = np.random.default_rng(2)
    found = within = 0
    for _ in range(30):
        seen = looks(random, lift=0.5)
        found += any((p := p_value(difference, scale)) is not None and p <= 0.05 for difference, scale in seen)
        last = interval(*seen[-1])
        assert last is not None
        within += last[0] <= 0.5 * 0.1 <= last[1]
    assert found >= 27
    assert within >= 28


def test_users_are_the_units_so_an_impression_more_of_the_same_user_tells_little() -> None:
    clicks, shown = np.array([10, 0] * 100), np.array([10, 10] * 100)
    one, hundred = ratio(clicks, shown), ratio(100 * clicks, 100 * shown)
    assert one is not None
    assert hundred is not None
    assert one.value == 0.5
    assert one.variance == pytest.approx(hundred.variance) == pytest.approx(0.25 / 199)


def test_nothing_is_said_without_users_enough() -> None:
    few = ratio(np.ones(anytime.LEAST_USERS - 1), np.full(anytime.LEAST_USERS - 1, 9.0))
    assert few is not None
    assert interval(few, 0.1) is None
    assert p_value(few.minus(few), 0.1) is None
    assert ratio([], []) is None
    assert ratio([0.0, 0.0], [0.0, 0.0]) is None


@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_the_interval_is_what_the_p_value_does_not_refuse(alpha: float) -> None:
    found = Estimate(0.02, 1e-5, 500)
    bounds = interval(found, 0.01, alpha)
    assert bounds is not None
    for bound in bounds:
        assert p_value(Estimate(found.value - bound, found.variance, 500), 0.01) == pytest.approx(alpha)


def test_a_sample_ratio_is_doubted_when_it_is_off_and_not_for_having_been_looked_at() -> None:
    random = np.random.default_rng(3)
    dealt = random.choice(3, (200, 5_000), p=[0.5, 0.3, 0.2])
    least = [
        min(sample_ratio_p(np.bincount(users[:count], minlength=3), [5, 3, 2]) for count in range(100, 5_001, 100))
        for users in dealt
    ]
    assert sum(p < 0.05 for p in least) <= 0.05 * len(least)
    assert sample_ratio_p([5_000, 3_000, 2_000], [5, 3, 2]) == 1.0
    assert sample_ratio_p([10_000, 9_300], [1, 1]) < 1e-3


def test_snips_recovers_the_value_of_another_policy_from_what_a_skewed_one_logged() -> None:
    random = np.random.default_rng(4)
    rates, logging, target = np.array([0.05, 0.2, 0.6]), np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.1, 0.8])
    users, inside = 4_000, 0
    for _ in range(40):
        shown = random.choice(3, users, p=logging)
        clicked = random.random(users) < rates[shown]
        found = off_policy.snips(clicked, logging[shown], target[shown], np.arange(users))
        assert found.estimate is not None
        bounds = interval(found.estimate, anytime.EFFECT * found.estimate.value)
        assert bounds is not None
        inside += bounds[0] <= rates @ target <= bounds[1]
        assert found.estimate.value == pytest.approx(rates @ target, abs=0.07)
        assert clicked.mean() == pytest.approx(rates @ logging, abs=0.04)
    assert inside >= 38
    # E w = 1 and E w² = Σ target² / logging: what a showing is worth.
    assert found.effective == pytest.approx(users / (target**2 / logging).sum(), rel=0.05)


def test_snips_counts_on_shares_alone_and_says_nothing_of_nothing() -> None:
    shown = [True, False, True], [0.5, 0.25, 0.5], np.array([0.2, 0.2, 0.4]), [7, 8, 9]
    whole = off_policy.snips(*shown)
    scaled = off_policy.snips(shown[0], shown[1], 3 * shown[2], shown[3])
    assert whole.estimate is not None
    assert scaled.estimate is not None
    assert whole.estimate.value == pytest.approx(scaled.estimate.value) == pytest.approx(1.2 / 2.0)
    assert off_policy.snips([], [], [], []).estimate is None
