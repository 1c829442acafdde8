"""What the learner has to publish: what changed, what moved a little, and what is no more."""

import numpy as np
import pytest

from online_models import moved_vectors, recommender
from online_models.explicit_ratings import predicted
from online_models.recommender import Recommender
from schemas.events import TYPE_CODES
from schemas.learning import LearningBatch, user_hash
from schemas.learnt import RATING, decode_weights
from schemas.posts import decode_post


def batch_of(*events: tuple[int, int], at: float = 1e9) -> LearningBatch:
    """Likes by (user, post), a second apart, of users without a past."""
    n = len(events)
    users, posts = np.array(events, np.int64).T
    ones, zeros = np.ones(n), np.zeros(n, np.int64)
    return LearningBatch(
        users, posts, at + np.arange(n), ones.astype(np.int8), 1000 * ones.astype(np.int32), ones.astype(np.int8),
        ones, ones, ones.astype(np.bool_), zeros, 0 * ones, np.zeros(n + 1, np.int32), np.empty(0, np.int64),
        np.empty(0, np.int32),
    )  # fmt: skip


def test_a_record_says_what_the_learner_knows_of_a_post():
    model = Recommender(capacity=100, users=10)
    model.learn_posts([(3, decode_post(b'{"id":3,"tags":["a"]}'))])
    model.learn_many(batch_of((1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 4)))
    changed = model.changed_vectors()
    records = dict(zip(changed.ids.tolist(), changed.records, strict=True))
    assert changed.ids.tolist() == [2, 3, 4]
    assert [float(records[post]["total"]) for post in (2, 3, 4)] == [3.0, 2.0, 1.0]
    assert (records[2]["first_at"], records[2]["last_at"]) == (1e9, 1e9 + 4)
    assert records[2]["followers"][:3].tolist() == [3, 4, 0]
    assert records[2]["shares"][:2] == pytest.approx([2 / 3, 1 / 3], rel=1e-3)
    made = model.sources
    slot = made.slots.get(2)
    assert records[2]["vectors"][: made.sequence.dim] == pytest.approx(made.sequence.inputs[slot], abs=1e-3)
    assert records[2]["vectors"][-1] == pytest.approx(made.factors.bias[slot], abs=1e-3)
    assert changed.users.tolist() == [1, 2, 3]
    assert changed.own[:, :-RATING] == pytest.approx(made.factors.own[model.users.find(changed.users)], abs=1e-3)
    assert not changed.own[:, -RATING:].any(), "nobody rated"
    weights = decode_weights(model.weights())
    assert weights.tag_share.sum() == pytest.approx(0.01 * len(weights.tag_share) + 2)
    assert weights.mean_value == pytest.approx(made.table.mean_value)


def test_ratings_are_predicted_from_what_is_published_as_by_the_model():
    model = Recommender(capacity=100, users=10)
    columns = {"type_code": np.full(4, TYPE_CODES["rating"], np.int8), "value_milli": np.array([90, 20, 80, 40]) * 1000}
    model.learn_many(batch_of((1, 2), (1, 3), (2, 2), (2, 4))._replace(**columns))
    model.learn_many(batch_of((user_hash("guest:s"), 4), (3, 4)))
    changed, weights = model.changed_vectors(), decode_weights(model.weights())
    assert weights.mean_rating == pytest.approx(0.575)
    posts = dict(zip(changed.ids.tolist(), changed.records["rating"].astype(np.float32), strict=True))
    users = dict(zip(changed.users.tolist(), changed.own[:, -RATING:].astype(np.float32), strict=True))
    for user, post in ((1, 4), (2, 3), (1, 2)):
        found = predicted(weights.mean_rating, users[user], posts[post][None])
        assert float(found[0]) == pytest.approx(model.ratings.predict_one(user, post), abs=1e-3)
    assert not users[3].any()
    assert model.ratings.predict_one(3, 4) is None


def test_posts_that_moved_a_little_have_their_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recommender, "REFRESHED", 4)
    model = Recommender(capacity=100, users=10)
    model.learn_many(batch_of(*((1, post) for post in range(1, 11))))
    assert model.changed_vectors().ids.tolist() == [*range(1, 11)]
    rest = [model.changed_vectors().ids.tolist() for _ in range(3)]
    assert [len(ids) for ids in rest] == [4, 2, 0]
    model.learn_many(batch_of((2, 1)))
    turns = [set(model.changed_vectors().ids.tolist()) for _ in range(4)]
    assert 1 in turns[0]
    assert set().union(*turns[:3]) == {*range(1, 11)}
    assert turns[3] == set()


def test_a_deleted_post_is_gone_although_its_slot_has_its_turn():
    model = Recommender(capacity=100, users=10)
    model.learn_many(batch_of((1, 2), (1, 3)))
    model.learn_posts([(2, None)])
    changed = model.changed_vectors()
    assert (changed.ids.tolist(), changed.gone.tolist()) == ([3], [2])
    model.learn_posts([(2, decode_post(b'{"id":2}')), (3, None)])
    model.learn_many(batch_of((2, 3)))
    changed = model.changed_vectors()
    assert (changed.ids.tolist(), changed.gone.tolist()) == ([3], [])


def test_what_the_model_drops_has_nothing_any_more():
    model = Recommender(capacity=16, users=16)
    model.learn_many(batch_of(*((user, user) for user in range(1, 15))))
    model.changed_vectors()
    model.learn_many(batch_of(*((user, user) for user in (99, 98, 97, 96) for _ in range(2))))
    changed = model.changed_vectors()
    assert changed.gone.tolist() == changed.strangers.tolist() == [1, 2]
    assert {96, 97, 98, 99} <= {*changed.ids.tolist()}
    assert sorted(changed.users.tolist()) == [96, 97, 98, 99]


def test_vectors_of_users_that_replays_moved_are_published_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(moved_vectors, "LOOKED", 4)
    model = Recommender(capacity=100, users=10)
    model.learn_many(batch_of(*((user, post) for post in range(1, 11) for user in (1, 2, 3, 4, 5, 6))))
    model.changed_vectors()
    assert model.changed_vectors().users.tolist() == []
    slot = model.users.get(2)
    before = model.sources.factors.own[slot].copy()
    for turn in range(40):
        model.learn_many(batch_of(*((7, post) for post in range(11 + turn, 13 + turn))))
    assert np.abs(model.sources.factors.own[slot] - before).max() > 0.01, "2 did nothing"
    told = [model.changed_vectors() for _ in range(3)]
    served = {user: row for each in told for user, row in zip(each.users.tolist(), each.own, strict=True)}
    assert {1, 2, 3, 4, 5, 6} <= served.keys()
    assert max(len(each.users) for each in told[1:]) <= 4
    assert served[2][:-RATING] == pytest.approx(model.sources.factors.own[slot], abs=1e-2)
