"""Counters, popularity and trending of posts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.decayed_counters import HALF_LIVES, DecayedCounters, decay_to, trending_score
from schemas.item_state import ItemState

LIKE, DISLIKE = 1, 9
times = st.lists(st.tuples(st.floats(0, 1e6), st.floats(0.1, 10)), min_size=1, max_size=40)


def learn(events, model: DecayedCounters | None = None) -> DecayedCounters:
    model = model or DecayedCounters()
    for at, weight in events:
        model.learn_one(7, LIKE, 1, weight, at)
    return model


@given(times)
def test_decayed_sums_equal_the_sum_over_the_log_in_any_order(events):
    now = max(at for at, _ in events)
    expected = [sum(weight * 2 ** (-(now - at) / half) for at, weight in events) for half in HALF_LIVES]
    assert learn(events).predict_one(7, now) == pytest.approx(expected, rel=1e-6)
    assert learn(reversed(events)).predict_one(7, now) == pytest.approx(expected, rel=1e-6)


def test_a_take_back_lowers_count_and_popularity():
    model = learn([(0.0, 3.0)])
    model.learn_one(7, LIKE, -1, 3.0, 0.0)
    assert model.items[7].counts_by_type() == {"like": 0}
    assert model.predict_one(7, 0.0) == [0.0, 0.0, 0.0]


def test_dislike_is_counted_but_takes_no_popularity_away():
    model = learn([(0.0, 3.0)])
    model.learn_one(7, DISLIKE, 1, -5.0, 0.0)
    assert model.items[7].counts_by_type() == {"like": 1, "not_interested": 1}
    assert model.predict_one(7, 0.0) == [3.0, 3.0, 3.0]


def test_predicting_an_unknown_post_creates_nothing():
    model = DecayedCounters()
    assert model.predict_one(404, 1.0) == [0.0, 0.0, 0.0]
    assert model.items == {}


@given(times, times, st.floats(0, 1e6))
def test_trending_scores_order_posts_by_their_sums_at_any_later_time(left, right, later):
    now = max(at for at, _ in [*left, *right]) + later
    models = learn(left), learn(right)
    for window in range(3):
        scores = [trending_score(model.items[7], window) for model in models]
        sums = [model.predict_one(7, now)[window] for model in models]
        if sums[0] > 1.001 * sums[1] and sums[1] > 1e-200:
            assert scores[0] > scores[1]


def test_arrays_decay_as_the_estimator_does():
    model = learn([(0.0, 3.0), (3600.0, 1.0)])
    item = model.items[7]
    now = 90_000.0
    arrays = decay_to(np.array([item.decayed]), np.array([item.at]), now)
    assert arrays[0] == pytest.approx(model.predict_one(7, now))


@given(times)
def test_an_item_survives_encoding(events):
    item = learn(events).items[7]
    item.category, item.known, item.strength = "Motivation", True, 1e26
    assert ItemState.decode(item.encode()) == item
