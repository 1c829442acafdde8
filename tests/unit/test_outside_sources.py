"""Weights of sources that only feeds have: what pages and clicks teach of them."""

import numpy as np
import pytest

from online_models.blend import START
from online_models.outside_sources import MOST, OutsideSources


def clicks(model: OutsideSources, count: int, seed: int = 1) -> None:
    """Users take what `knows` says; `noise` says nothing, `opposite` the contrary."""
    draw = np.random.default_rng(seed)
    for _ in range(count):
        knows = draw.normal(size=10)
        taken = int(np.argmax(3.0 * knows + draw.gumbel(size=10)))
        model.learn_one(np.zeros(10), {"knows": knows, "noise": draw.normal(size=10), "opposite": -knows}, taken)


def test_the_source_that_knows_counts_and_the_others_do_not() -> None:
    model = OutsideSources()
    clicks(model, 500)
    assert model.weights["knows"] > 1.0
    assert model.weights["noise"] < 0.3
    assert model.weights["opposite"] < 0.05


def test_what_the_blend_says_already_is_not_counted_twice() -> None:
    draw, model = np.random.default_rng(1), OutsideSources()
    for _ in range(500):
        knows = draw.normal(size=10)
        logits = 3.0 * knows
        model.learn_one(logits, {"knows": knows}, int(np.argmax(logits + draw.gumbel(size=10))))
    assert model.weights["knows"] < 0.3


def test_until_it_is_better_all_begin_alike() -> None:
    model = OutsideSources()
    assert model.weights == {}
    model.learn_one(np.zeros(2), {"one": np.array([0.0, 1.0]), "two": np.array([0.0, 0.0])}, 0)
    assert model.weights == {"one": START, "two": START}


def test_it_is_bounded_and_what_is_no_number_teaches_nothing() -> None:
    model = OutsideSources()
    for number in range(3 * MOST):
        model.learn_one(np.zeros(2), {f"source-{number}": np.array([1.0, 0.0])}, 0)
    assert len(model.weights) == MOST
    before = model.state()
    model.learn_one(np.zeros(2), {"source-1": np.array([np.nan, 0.0])}, 0)
    model.learn_one(np.array([np.inf, 0.0]), {"source-1": np.array([1.0, 0.0])}, 0)
    assert all(np.array_equal(before[name], column) for name, column in model.state().items())


def test_it_comes_back_from_a_snapshot() -> None:
    model, again = OutsideSources(), OutsideSources()
    clicks(model, 100)
    again.load(model.state())
    assert again.weights == model.weights
    clicks(model, 50, 2)
    clicks(again, 50, 2)
    assert again.weights == pytest.approx(model.weights)
