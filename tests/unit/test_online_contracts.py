"""What every online estimator has to do, whatever it learns: River's contract, and what a stream needs beyond it."""

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from river import base

from online_models.blend import START, Blend, Gates
from online_models.co_visitation import LANDMARK, CoVisitation
from online_models.decayed_counters import DecayedCounters
from online_models.ease import Ease
from online_models.explicit_ratings import ExplicitRatings
from online_models.outside_sources import OutsideSources
from online_models.pairwise_mf import PairwiseMF
from online_models.replay import DRAWN, Events, Replay
from online_models.sequence_factors import SequenceFactors
from online_models.transitions import Transitions

DAY = 86_400.0
SMALL = 64
EVENTS = int(os.environ.get("EVENTS", "5000"))
"""In a row. `make endurance` makes it a million: some 100 µs each, with their way through Python."""


class Adapter(NamedTuple):
    """learn: one event (post, context, user, at). rank: posts, best first (context, user, at). numbers: all
    that was learnt."""

    make: Callable[[], base.Base]
    learn: Callable[[Any, int, Sequence[int], int, float], None]
    rank: Callable[[Any, Sequence[int], int, float], list[int]]
    size: Callable[[Any], int]
    numbers: Callable[[Any], list[np.ndarray]]


ADAPTERS = {
    "co_visitation": Adapter(
        lambda: CoVisitation(keep=20),
        lambda model, post, context, user, at: model.learn_one(post, context, 1.0, at),
        lambda model, context, user, at: model.rank(context, at),
        lambda model: max((len(model.row(post)) for post in range(1, 50)), default=0) // 2,
        lambda model: [model.rows.weights, np.array(list(model.strengths.values()))],
    ),
    "transitions": Adapter(
        lambda: Transitions(keep=20),
        lambda model, post, context, user, at: model.learn_one(post, context, at),
        lambda model, context, user, at: model.rank(context, at),
        lambda model: max((len(model.rows.row(post)) for post in range(1, 50)), default=0) // 2,
        lambda model: [model.rows.weights],
    ),
    "ease": Adapter(
        lambda: Ease(capacity=SMALL),
        lambda model, post, context, user, at: model.learn_one(post, context, at),
        lambda model, context, user, at: model.rank(context),
        lambda model: len(model.slots),
        lambda model: [model.weights, model._gram],
    ),
    "sequence_factors": Adapter(
        lambda: SequenceFactors(capacity=SMALL),
        lambda model, post, context, user, at: model.learn_one(post, context),
        lambda model, context, user, at: model.rank(context),
        lambda model: len(model.slots),
        lambda model: [*model.state().values()],
    ),
    "pairwise_mf": Adapter(
        lambda: PairwiseMF(capacity=SMALL, users=SMALL),
        lambda model, post, context, user, at: model.learn_one(post, context, user),
        lambda model, context, user, at: model.rank(context, user),
        lambda model: max(len(model.slots), len(model.user_slots)),
        lambda model: [*model.state().values()],
    ),
    "explicit_ratings": Adapter(
        lambda: ExplicitRatings(posts=SMALL, users=SMALL),
        lambda model, post, context, user, at: rate(model, post, user),
        lambda model, context, user, at: model.rank(user),
        lambda model: max(len(model.post_slots), len(model.user_slots), *map(len, river_rows(model))),
        lambda model: [*model.state().values()],
    ),
    "outside_sources": Adapter(
        OutsideSources,
        lambda model, post, context, user, at: take(model, post, context),
        lambda model, context, user, at: trusted(model, context),
        lambda model: len(model.weights),
        lambda model: [*model.state().values()],
    ),
}

PAGE = np.arange(1, 21)


def said(context: Sequence[int]) -> dict[str, np.ndarray]:
    """Of the posts of a page: what two sources say that only feeds have. The first knows the circle, the other speaks
    sixty times as loud."""
    past = context[0] if context else 0
    return {"knows": 0.1 * ((past + 1) % 20 + 1 == PAGE), "noise": 6.0 * np.cos(PAGE * PAGE + past)}


def take(model: OutsideSources, post: int, context: Sequence[int]) -> None:
    """Posts beyond the page are taken from it too, as if each had a source of its own."""
    others = {f"source_{post}": np.eye(20)[post % 20]} if post > 20 else {}
    model.learn_one(np.zeros(20), said(context) | others, (post - 1) % 20)


def trusted(model: OutsideSources, context: Sequence[int]) -> list[int]:
    weights = model.weights
    if not weights:
        return []
    scores = sum(weights.get(name, START) * column for name, column in said(context).items())
    return [int(post) for post in PAGE[np.argsort(-scores, kind="stable")]]


def rate(model: ExplicitRatings, post: int, user: int) -> None:
    """Five stars for the post, one for that beside it, which is of the other taste."""
    model.learn_one(user, post, 1.0)
    model.learn_one(user, post % 20 + 1 if post <= 20 else post, 0.2)


def river_rows(model: ExplicitRatings) -> list[dict[int, Any]]:
    """All that River's model keeps by id; it makes some for whomever it is asked about."""
    river = model._model
    return [river.u_biases, river.i_biases, river.u_latents, river.i_latents] if river is not None else [{}]


def stream(events: int, seed: int = 1) -> list[tuple[int, list[int], int, float]]:
    """Users of two tastes: those with even numbers come to even posts, the others to odd ones; in a circle."""
    draws = np.random.default_rng(seed)
    pasts: dict[int, list[int]] = {}
    found = []
    for number in range(events):
        user = int(draws.integers(1, 21))
        past = pasts.setdefault(user, [])
        post = (past[0] % 20 + 2 - (past[0] % 20 + 2 > 20) * 20 if past else 1 + user % 2) or 20
        found.append((post, past.copy(), user, number * 60.0))
        pasts[user] = [post, *(other for other in past if other != post)][:8]
    return found


def taught(adapter: Adapter, events: int) -> Any:
    model = adapter.make()
    for post, context, user, at in stream(events):
        adapter.learn(model, post, context, user, at)
    return model


def hit_rate(adapter: Adapter, model: Any) -> float:
    """How often the post comes first among those of the right taste and the wrong one that the user has not met."""
    hits = tests = 0
    for post, context, user, at in stream(400, seed=2)[200:]:
        ranked = [other for other in adapter.rank(model, context, user, at) if other not in context]
        hits += post in ranked[:3]
        tests += 1
    return hits / tests


@pytest.fixture(params=ADAPTERS.values(), ids=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return request.param


def test_what_is_learnt_is_predicted(adapter: Adapter) -> None:
    assert hit_rate(adapter, taught(adapter, 3_000)) > max(0.5, hit_rate(adapter, taught(adapter, 20)) + 0.2)


def test_prediction_changes_nothing(adapter: Adapter) -> None:
    model, asked = taught(adapter, 500), taught(adapter, 500)
    for context in ([1, 3], [], [999_999], [2**40]):
        adapter.rank(asked, context, 12_345, DAY)
    for post, context, user, at in stream(50, seed=3):
        adapter.learn(model, post, context, user, at + DAY)
        adapter.learn(asked, post, context, user, at + DAY)
    assert adapter.rank(model, [1, 3], 2, 2 * DAY) == adapter.rank(asked, [1, 3], 2, 2 * DAY)
    assert adapter.size(model) == adapter.size(asked)


def test_a_clone_knows_nothing_and_learns_the_same(adapter: Adapter) -> None:
    model = taught(adapter, 500)
    clone = model.clone()
    assert adapter.rank(clone, [1, 3], 2, DAY) == []
    for post, context, user, at in stream(500):
        adapter.learn(clone, post, context, user, at)
    assert adapter.rank(clone, [1, 3], 2, DAY) == adapter.rank(model, [1, 3], 2, DAY)


def test_a_copy_scores_the_same(adapter: Adapter) -> None:
    model = taught(adapter, 500)
    assert adapter.rank(copy.deepcopy(model), [1, 3], 2, DAY) == adapter.rank(model, [1, 3], 2, DAY)


def test_memory_is_bounded_under_ever_new_ids(adapter: Adapter) -> None:
    model = adapter.make()
    for number in range(1, 2_000):
        adapter.learn(model, number, [1 + number % 7, max(number - 1, 1)], number, number * 1.0)
    assert adapter.size(model) <= SMALL


def test_strangers_are_no_error(adapter: Adapter) -> None:
    model = taught(adapter, 100)
    assert isinstance(adapter.rank(model, [123_456_789], 987_654_321, DAY), list)
    assert adapter.rank(adapter.make(), [5], 5, 0.0) == []


@pytest.mark.parametrize("kind", [SequenceFactors, PairwiseMF])
def test_factors_come_back_from_a_snapshot(kind: type) -> None:
    model = kind(capacity=SMALL)
    for post, context, user, _ in stream(500):
        model.learn_one(post, context, user)
    resumed = kind(capacity=SMALL)
    resumed.slots.load(model.slots.state())
    resumed.user_slots.load(model.user_slots.state())
    resumed.replay.load(model.replay.state())
    resumed.load(model.state())
    assert resumed.rank([1, 3], 2) == model.rank([1, 3], 2)
    assert resumed.predict_one(5, [1, 3], 2) == model.predict_one(5, [1, 3], 2)
    with pytest.raises(ValueError, match="slots do not fit"):
        kind(capacity=4).slots.load(model.slots.state())


def test_ratings_come_back_from_a_snapshot_and_go_on_as_they_would_have() -> None:
    model = taught(ADAPTERS["explicit_ratings"], 500)
    resumed = ExplicitRatings(posts=SMALL, users=SMALL, seed=9)
    resumed.load(model.state())
    for each in (model, resumed):
        rate(each, 3, 2)
    pairs = [(user, post) for user in range(1, 21) for post in range(1, 21)]
    expected = [model.predict_one(*pair) for pair in pairs]
    assert [resumed.predict_one(*pair) for pair in pairs] == pytest.approx(expected, abs=1e-6)
    ExplicitRatings().load(ExplicitRatings().state())
    with pytest.raises(ValueError, match="slots do not fit"):
        ExplicitRatings(posts=4).load(model.state())


def test_ratings_are_asked_of_nobody_who_is_unknown_and_are_reproducible() -> None:
    model, same, other = (ExplicitRatings(seed=seed) for seed in (5, 5, 6))
    for each in (model, same, other):
        for post, _, user, _ in stream(1_500):
            rate(each, post, user)
    before = [len(rows) for rows in river_rows(model)]
    assert [model.predict_one(user, post) for user, post in ((1, 999), (999, 1), (-1, -1))] == [None] * 3
    assert not model.user_vectors(np.array([999])).any()
    assert not model.post_vectors(np.array([999])).any()
    assert [len(rows) for rows in river_rows(model)] == before
    assert model.predict_one(1, 4) == same.predict_one(1, 4) != other.predict_one(1, 4)
    error = [abs((model.predict_one(user, post) or 0.0) - 1.0) for post, _, user, _ in stream(400, seed=2)[200:]]
    assert np.mean(error) < abs(model.mean - 1.0) - 0.1


@pytest.mark.parametrize("kind", [SequenceFactors, PairwiseMF])
def test_many_are_scored_as_one_product(kind: type) -> None:
    model = kind(capacity=SMALL)
    for post, context, user, _ in stream(300):
        model.learn_one(post, context, user)
    scores = model.rank_many([[1, 3], [2]], [3, 4])
    for row, (context, user) in zip(scores, [([1, 3], 3), ([2], 4)], strict=True):
        slots = model.slots.find(np.arange(1, 21))
        expected = [model.predict_one(post, context, user) for post in range(1, 21)]
        np.testing.assert_allclose(row[slots], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [SequenceFactors, PairwiseMF])
def test_factors_learn_as_well_from_minibatches(kind: type) -> None:
    one, many, waiting = kind(capacity=SMALL), kind(capacity=SMALL), Events(64)
    for post, context, user, _ in stream(1_920):
        one.learn_one(post, context, user)
        slots = np.array([many._admit(other) for other in context], np.int32)
        waiting.add(many._admit(post), slots, many.admit_user(user))
        if waiting.full:
            many.learn_many(*waiting.take())
    np.testing.assert_array_equal(many.replay.drawn, one.replay.drawn)
    ranks = [[model.rank(context, user).index(post) for post, context, user, _ in stream(200)] for model in (one, many)]
    assert np.mean(ranks[1]) == pytest.approx(np.mean(ranks[0]), abs=0.5)
    assert np.mean(ranks[1]) < 5


def test_a_ring_draws_what_it_holds() -> None:
    ring, waiting, draws = Replay(SMALL), Events(1_000), np.random.default_rng(1)
    for number in range(DRAWN + 3_000):
        waiting.add(int(draws.integers(SMALL)), np.array([1] * (number % 3), np.int32), number % 5)
        if waiting.full:
            ring.add(*waiting.take())
    assert ring.count[0] == (DRAWN + 3_000) * 2 // 3
    for number in range(DRAWN):
        waiting.add(number % 7, np.array([2], np.int32), -1)
        if waiting.full:
            ring.add(*waiting.take())
    np.testing.assert_array_equal(ring.drawn, np.bincount(ring.posts, minlength=SMALL))
    np.testing.assert_array_equal(ring.drawn[:7], np.bincount(np.arange(DRAWN) % 7))


@pytest.mark.timeout(900)
def test_scores_stay_finite_over_many_events(adapter: Adapter) -> None:
    model = adapter.make()
    draws = np.random.default_rng(1)
    for number in range(EVENTS):
        post, first, second, user = draws.integers(1, 200, 4).tolist()
        adapter.learn(model, post, [first, second], user, LANDMARK + number * 60.0)
    assert adapter.rank(model, [1, 2], 3, LANDMARK + EVENTS * 60.0)
    assert all(np.isfinite(numbers).all() for numbers in adapter.numbers(model))


@pytest.mark.timeout(900)
def test_a_blend_stays_finite_over_many_lists() -> None:
    model = Blend(start(3, 8))
    kept = lists(200, 1)
    for number in range(EVENTS // 10):
        features, chosen = kept[number % len(kept)]
        model.learn_one(features * 100, (chosen + number) % 30)
    assert np.isfinite(model.predict_many(kept[0][0])).all()


def test_counters_forget_at_their_half_lives() -> None:
    model = DecayedCounters()
    model.learn_one(1, 1, 1, 4.0, 0.0)
    assert model.predict_one(1, DAY)[1] == pytest.approx(2.0)
    assert model.predict_one(2, DAY) == [0.0, 0.0, 0.0]
    assert list(model.items) == [1], "asking for a stranger must not make one"


def lists(count: int, seed: int) -> list[tuple[np.ndarray, int]]:
    """Three sources: the first knows the answer, the second guesses, the third is always wrong."""
    draws = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        features = draws.normal(0, 1, (30, 8)).astype(np.float32)
        chosen = int(draws.integers(30))
        features[chosen, 0] += 2.0
        features[chosen, 4] -= 2.0
        found.append((features, chosen))
    return found


def start(sources: int, width: int) -> np.ndarray:
    return np.array([START] * 2 * sources + [0.0] * (width - 2 * sources), np.float32)


def rank_of(model: Blend, features: np.ndarray, chosen: int) -> int:
    scores = model.predict_many(features)
    return int(np.count_nonzero(scores > scores[chosen]))


def test_a_blend_begins_with_equal_weights() -> None:
    model = Blend(start(3, 8))
    features, _ = lists(1, 1)[0]
    np.testing.assert_allclose(model.predict_many(features), 0.1 * features[:, :6].sum(axis=1), rtol=1e-5)


def test_a_blend_learns_whom_to_trust() -> None:
    model, equal = Blend(start(3, 8)), Blend(start(3, 8))
    for features, chosen in lists(1_000, 1):
        model.learn_one(features, chosen)
    ranks = np.array([(rank_of(model, *each), rank_of(equal, *each)) for each in lists(200, 2)])
    assert ranks[:, 0].mean() < 0.5 * ranks[:, 1].mean()
    weights = model.weights(["right", "guess", "wrong"])
    assert weights["right"] > weights["guess"] > weights["wrong"]


def test_gates_are_products_of_features() -> None:
    """A blend whose weights of products are added up first is one that is shown the products."""
    draws, count, weights = np.random.default_rng(3), 12, 6 + 2 * 3
    gated = Blend(np.full(weights, 0.1, np.float32), gates=Gates(3, (4, 5)))
    plain = Blend(np.full(weights, 0.1, np.float32))
    for _ in range(300):
        features = draws.normal(size=(count, 6)).astype(np.float32)
        features[:, 4:] = features[0, 4:]
        whole = np.concatenate([features, *(features[:, :3] * features[0, gate] for gate in (4, 5))], axis=1)
        chosen = int((features[:, 0] * features[0, 4] + features[:, 5]).argmax())
        np.testing.assert_allclose(gated.predict_many(features), plain.predict_many(whole), rtol=0.01, atol=0.01)
        gated.learn_one(features, chosen)
        plain.learn_one(whole, chosen)
    assert gated.serves_learnt
    np.testing.assert_allclose(gated.serving().predict_many(features), plain.predict_many(whole), rtol=0.01, atol=0.01)


def test_a_blend_serves_equal_weights_where_nothing_is_to_be_learnt() -> None:
    """Lists whose choice follows equal weights exactly: whatever is learnt from 50 of them is no better."""
    model = Blend(start(2, 4))
    draws = np.random.default_rng(3)
    served = 0
    for _ in range(50):
        features = (3 * draws.normal(0, 1, (30, 4))).astype(np.float32)
        model.learn_one(features, int((features.sum(axis=1) + draws.gumbel(0, 10, 30)).argmax()))
        served += model.serves_learnt
    assert served < 40


def test_a_blend_comes_back_from_a_snapshot() -> None:
    model = Blend(start(3, 8))
    for features, chosen in lists(100, 1):
        model.learn_one(features, chosen)
    resumed = Blend(start(3, 8), seed=9)
    resumed.load(model.state())
    features, _ = lists(1, 5)[0]
    np.testing.assert_array_equal(resumed.predict_many(features), model.predict_many(features))
    with pytest.raises(ValueError, match="features"):
        Blend(start(3, 9)).load(model.state())
