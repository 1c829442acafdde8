"""EASE, live: against the closed form, and what it keeps of ever new posts."""

import numpy as np
import pytest

from online_models import ease
from online_models.ease import PAST, RECENCY, RIDGE, TAPER, Ease
from schemas import ease as published
from schemas.errors import ReelstreamError

DAY = 86_400.0


def taught(events: int, posts: int, seed: int = 1) -> Ease:
    """Twelve users, each with taste for a third of the posts."""
    random = np.random.default_rng(seed)
    model, pasts = Ease(capacity=200), [[] for _ in range(12)]  # type: list[list[int]]
    for _ in range(events):
        user = int(random.integers(12))
        post = 1 + 3 * int(random.integers(posts // 3)) + user % 3
        if post not in pasts[user]:
            model.learn_one(post, pasts[user], at=0.0)
            pasts[user] = [post, *pasts[user]][: PAST + 10]
        elif random.random() < 0.5:
            pasts[user].remove(post)
    return model


def test_weights_are_those_of_the_closed_form(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ease, "LEAST", 10_000)
    model = Ease(capacity=50)
    random, gram = np.random.default_rng(2), (RIDGE + 1.0) * np.eye(30)
    for post in range(30):
        model.learn_one(post, [], at=10 * DAY)
    for _ in range(3_000):
        post, past = int(random.integers(30)), random.permutation(30)[:8].tolist()
        past = [other for other in past if other != post]
        model.learn_one(post, past, at=10 * DAY)
        gram[post, post] += 1.0
        for weight, other in zip(TAPER, past, strict=False):
            gram[post, other] += weight
            gram[other, post] += weight
    model.solve()
    inverse = np.linalg.inv(gram)
    expected = -inverse / np.diagonal(inverse)
    np.fill_diagonal(expected, 0.0)
    slots, weights = model.solution()
    ids = model.slots.ids[slots]
    assert weights == pytest.approx(expected[np.ix_(ids, ids)], abs=1e-4)
    scores, past = np.empty(30, np.float32), [4, 9, 17]
    model.score(model.slots.find(np.array(past)), scores)
    by_id = np.maximum(RECENCY[:3] @ expected[past], 0.0)
    assert scores == pytest.approx(by_id[model.slots.ids[:30]], abs=1e-4)


def test_the_past_of_a_taste_speaks_for_its_posts_alone():
    model = taught(6_000, posts=60)
    assert model.solutions > 1
    for taste in range(3):
        past = [1 + taste, 4 + taste, 7 + taste]
        ranked = [post for post in model.rank(past) if post not in past]
        assert {post % 3 for post in ranked[:10]} == {(1 + taste) % 3}


def test_an_event_of_long_ago_does_not_make_all_others_weigh_more():
    model = taught(3_000, posts=60)
    model.solve()
    before = model.solution()[1].copy()
    model.learn_one(1, [4], at=-900 * DAY)
    model.solve()
    assert model.solution()[1] == pytest.approx(before, abs=1e-3)


def test_a_model_that_knows_nothing_is_resumed_from():
    again = Ease(capacity=10)
    again.load(Ease(capacity=10).state())
    assert again.rank([1]) == []


def test_of_ever_new_posts_those_that_most_is_known_of_stay(monkeypatch: pytest.MonkeyPatch):
    for name, value in (("POSTS", 32), ("FREE", 8), ("LEAST", 100)):
        monkeypatch.setattr(ease, name, value)
    model = Ease(capacity=500)
    for turn in range(2_000):
        model.learn_one(1 + turn % 10, [1 + (turn + 5) % 10], at=turn)
        model.learn_one(1_000 + turn, [1 + turn % 10], at=turn)  # each comes once; the table of slots turns over
    assert np.count_nonzero(model.held >= 0) <= 32
    assert len(model.slots) <= 500
    slots, _ = model.solution()
    assert {*range(1, 11)} <= {*model.slots.ids[slots].tolist()}
    assert all(model.rows[slot] >= 0 and model.held[model.rows[slot]] == slot for slot in slots.tolist())
    assert model.rank([1])[0] == 6
    model.forget(model.slots.get(6))
    assert 6 not in model.rank([1])


def test_a_snapshot_is_resumed_from_with_the_same_scores():
    model = taught(3_000, posts=60)
    model.solve()
    again = Ease(capacity=200)
    again.slots = model.slots
    again.load(model.state())
    ours, theirs = np.empty((2, model.slots.size), np.float32)
    past = np.array([3, 8, 1, 5], np.int32)
    model.score(past, ours)
    again.score(past, theirs)
    assert theirs == pytest.approx(ours, abs=1e-6)
    assert ours.max() > 0.01


def test_what_is_published_is_read_within_half_a_unit():
    weights = np.random.default_rng(1).normal(0, 0.05, (40, 40)).astype(np.float32)
    read = published.decode(published.encode(np.arange(7, 47), weights))
    assert read.ids.tolist() == [*range(7, 47)]
    assert read.codes * read.unit == pytest.approx(weights, abs=0.51 * read.unit)
    assert read.unit < 2e-5
    assert published.decode(published.encode(np.empty(0, np.int64), np.empty((0, 0), np.float32))).codes.size == 0


@pytest.mark.parametrize("payload", [b"", b"junk", published.encode(np.arange(3), np.ones((2, 2), np.float32))])
def test_what_the_learner_would_not_write_is_refused(payload: bytes):
    with pytest.raises(ReelstreamError, match="can't be read"):
        published.decode(payload)
