"""Incremental item-item collaborative filtering."""

import random

import numpy as np
import pytest

from online_models.co_visitation import (
    KEEP,
    LANDMARK,
    RANK_WEIGHTS,
    SLACK,
    CoVisitation,
    growth,
)  # fmt: skip
from online_models.co_visitation_scores import similarity
from online_models.post_columns import Rows
from online_models.source_scores import visit
from online_models.user_history import Effect
from schemas.item_state import Neighbours
from streams.touch_writer import TouchWriter


def rows(model: CoVisitation) -> dict[int, dict[int, float]]:
    return {post_id: model.row(post_id) for post_id in model.rows.places.rows}


def slots(model: CoVisitation, history: list[int], posts: int):
    """The model as the API's mirror holds it: post id = slot."""
    width = KEEP + SLACK
    neighbour_slots = np.full((len(history), width), -1, np.int32)
    weights = np.zeros((len(history), width))
    for place, post_id in enumerate(history):
        row = model.row(post_id)
        neighbour_slots[place, : len(row)] = list(row)
        weights[place, : len(row)] = list(row.values())
    strength = np.array([model.strengths.get(post_id, 0.0) for post_id in range(posts)])
    return neighbour_slots, weights, strength[history], strength


def test_known_answer_even_users_like_even_posts():
    """The checkerboard: each user of a colour withholds one post of it, and must be offered exactly that one."""
    model = CoVisitation()
    for user in range(40):
        liked = [post for post in range(2, 22) if post % 2 == user % 2 and post != 2 + user % 20]
        context: list[int] = []
        for post in liked:
            model.learn_one(post, context, gain=1.0, at=LANDMARK)
            context = [post, *context][:20]
    for user in range(20):
        history = [post for post in range(21, 1, -1) if post % 2 == user % 2 and post != 2 + user]
        unseen = [post for post in model.rank(history, at=LANDMARK) if post not in history]
        assert unseen[0] == 2 + user


def test_scores_in_slots_rank_as_the_estimator_does():
    rng = random.Random(1)
    model = CoVisitation()
    for step in range(2000):
        model.learn_one(rng.randrange(1, 60), rng.sample(range(1, 60), 8), gain=rng.random(), at=LANDMARK + step * 3600)
    now = LANDMARK + 2000 * 3600
    history = [5, 9, 31, 2]
    neighbours, weights, _, strength = slots(model, history, 60)
    counts = (neighbours >= 0).sum(axis=1).astype(np.int32)
    rows = Rows(neighbours, weights, counts, np.arange(len(history), dtype=np.int32))
    scores = np.empty(60)
    visit(np.array(history, np.int32), rows, strength, 1.0 / growth(now), scores)
    ranked = model.rank(history, now)
    assert [int(post) for post in np.argsort(-scores, kind="stable") if scores[post] > 0][:20] == ranked[:20]


def test_parts_learnt_apart_are_the_whole():
    """Stage 2 holds the rows of a post and of its context in different partitions, and learns batches."""
    whole, parts = CoVisitation(), [CoVisitation(), CoVisitation()]
    writer = TouchWriter(2)
    for offset, (post_id, context) in enumerate([(1, []), (2, [1]), (3, [2, 1]), (2, [3, 1]), (5, [2, 3, 1])]):
        whole.learn_one(post_id, context, gain=2.0, at=LANDMARK)
        writer.add(offset, 0, post_id, LANDMARK, 1, Effect(1, 2.0, 2.0, context))
    for number, touches in writer.split():
        parts[number].learn_pairs(*touches.pairs(), touches.gain[touches.event] * RANK_WEIGHTS[touches.rank])
    first, second = map(rows, parts)
    assert {**first, **second} == rows(whole)
    assert not first.keys() & second.keys()


FULL = KEEP + SLACK


@pytest.mark.parametrize(
    "weights",
    [[1.0] * FULL, list(range(FULL)), [5.0] * 100 + [1.0] * 28, [1.0] * 90 + [5.0] * 38, [0.0, 2.0**-1000] * 64,
     [random.Random(1).expovariate(1.0) for _ in range(FULL)]],
)  # fmt: skip
def test_a_full_row_is_cut_to_the_strongest_when_another_comes(weights: list[float]):
    model = CoVisitation()
    model.learn_pairs(np.ones(FULL, np.int64), np.arange(FULL), np.array(weights, np.float64))
    assert list(model.row(1).values()) == weights
    model.learn_pairs(np.array([1]), np.array([FULL]), np.array([0.5]))
    *kept, last = model.row(1).items()
    assert last == (FULL, 0.5)
    assert sorted(weight for _, weight in kept) == sorted(weights)[SLACK:]
    assert kept == [(other, weight) for other, weight in enumerate(weights) if other in dict(kept)]


def test_rows_are_what_dicts_would_hold_through_growth_and_forgetting():
    rng = np.random.default_rng(3)
    model, expected = CoVisitation(), {}
    for _ in range(30):
        posts, others = rng.integers(1, 2**53, 40)[rng.integers(0, 40, 500)], rng.integers(1, 2**53, 500)
        weights = rng.random(500)
        model.learn_pairs(posts, others, weights)
        for post, other, weight in zip(posts.tolist(), others.tolist(), weights.tolist(), strict=True):
            row = expected.setdefault(post, {})
            row[other] = row.get(other, 0.0) + weight
        for post in rng.choice([*expected], 10, replace=False).tolist():
            model.forget(post)
            del expected[post]
        assert rows(model) == expected
    assert len(expected) > 2 * 256


def test_a_row_that_was_kept_elsewhere_is_gone_on_with():
    model = CoVisitation()
    model.load(1, np.array([7, 2**40]), np.array([2.0, 2.0**-200]))
    model.learn_pairs(np.array([1]), np.array([2**40]), np.array([2.0**-200]))
    assert model.row(1) == {7: 2.0, 2**40: 2.0**-199}


def test_the_order_of_arrival_does_not_matter():
    events = [(post, [post - 1], 1.0, LANDMARK + day * 86_400.0) for day, post in enumerate([2, 3, 2, 4, 2] * 20)]
    forward, backward = CoVisitation(), CoVisitation()
    for each in events:
        forward.learn_one(*each)
    for each in reversed(events):
        backward.learn_one(*each)
    for post, row in rows(forward).items():
        assert backward.row(post) == pytest.approx(row, rel=1e-9)
    assert backward.strengths == pytest.approx(forward.strengths, rel=1e-9)


def test_old_evidence_fades():
    model = CoVisitation()
    model.learn_one(2, [1], gain=10.0, at=LANDMARK)
    model.learn_one(3, [1], gain=10.0, at=LANDMARK + 90 * 86_400)
    assert model.rank([1], at=LANDMARK + 90 * 86_400) == [3, 2]


def test_rows_are_bounded_and_the_strongest_survive():
    model = CoVisitation()
    for other in range(2, 5000):
        model.learn_one(other, [1], gain=1.0 if other != 77 else 50.0, at=LANDMARK)
    assert len(model.row(1)) <= KEEP + SLACK
    assert 77 in model.row(1)


def test_ranking_writes_nothing_and_knows_nothing_of_strangers():
    model = CoVisitation()
    model.learn_one(2, [1], gain=1.0, at=LANDMARK)
    before = (repr(rows(model)), repr(model.strengths))
    assert model.rank([404], at=LANDMARK) == []
    assert (repr(rows(model)), repr(model.strengths)) == before


def test_a_clone_starts_empty_with_the_same_parameters():
    model = CoVisitation(keep=7)
    model.learn_one(2, [1], gain=1.0, at=LANDMARK)
    clone = model.clone()
    assert clone.keep == 7
    assert rows(clone) == {}


def test_neighbours_survive_encoding_decades_after_the_landmark():
    model = CoVisitation()
    model.learn_one(2, [1], gain=3.0, at=LANDMARK + 60 * 365 * 86_400)
    row = model.row(1)
    assert Neighbours.decode(Neighbours(row).encode()).weights == pytest.approx(row, rel=2**-24)
    assert np.isfinite(list(row.values())).all()


def test_similarity_lies_between_nothing_and_one():
    model = CoVisitation()
    for _ in range(1000):
        model.learn_one(2, [1], gain=1.0, at=LANDMARK)
        model.learn_one(1, [], gain=1.0, at=LANDMARK)
        model.learn_one(3, [], gain=1.0, at=LANDMARK)
    neighbour_slots, weights, row_strength, strength = slots(model, [1], 4)
    values = similarity(neighbour_slots[0], weights[0], row_strength[0], strength, LANDMARK)
    assert 0.9 < values[0] <= 1.0
    assert not values[1:].any()
