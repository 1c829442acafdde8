"""Who gets a slot: guests and ids that come once must cost those who come back nothing."""

import copy

import numpy as np
import pytest

from online_models import readers
from online_models.admission import Doorkeeper
from online_models.recommender import Recommender
from schemas.learning import is_guest_hash, user_hash
from tests.unit.test_recommender import AT, batch, post, small, walks

GUEST = user_hash("guest:b7c1")


def recall(model: Recommender, seed: int, at: float) -> float:
    """Of the regulars, over their next events."""
    before, hits = model.prequential.scored, model.prequential._sums[-1, 0]
    model.sample = 1.0
    model.learn_many(batch(*walks(400, seed=seed), at=at))
    return float((model.prequential._sums[-1, 0] - hits) / (model.prequential.scored - before))


def flood(model: Recommender, events: int) -> None:
    """Ever new users on ever new posts, each once; some of them where regulars are."""
    draws = np.random.default_rng(1)
    for start in range(0, events, 500):
        numbers = range(start, start + 500)
        came = [(10_000 + number, 10_000 + number if draws.random() < 0.9 else 1 + number % 60) for number in numbers]
        model.learn_many(batch(*came, at=AT + 2e5))


def test_a_flood_of_ids_that_come_once_does_not_push_out_those_who_come_back() -> None:
    calm = small()
    calm.sample = 0.4
    calm.learn_many(batch(*walks(1_200)))
    flooded = copy.deepcopy(calm)
    flood(flooded, 10 * 512)
    slots, users = flooded.sources.slots, flooded.users
    assert all(slots.get(one) >= 0 for one in range(1, 61))
    assert all(users.get(one) >= 0 for one in range(1, 31))
    assert (len(slots), len(users)) == (512 - 512 // 8, 128 - 128 // 8)
    expected, found = (recall(model, 2, AT + 4e5) for model in (calm, flooded))
    assert found > expected - 0.1, "of 400 events, .1 is three standard errors"


def test_who_comes_again_is_admitted_and_the_longest_away_go() -> None:
    model = Recommender(capacity=16, users=16)
    model.learn_many(batch(*((user, user) for user in range(1, 15))))
    model.learn_many(batch((20, 20)))
    assert model.sources.slots.get(20) == model.users.get(20) == -1
    assert model.readers.get(20) >= 16, "what a user does counts before there is a slot"
    model.learn_many(batch((20, 20), (21, 21), (21, 21), (22, 22), (22, 22)))
    assert min(model.sources.slots.get(20), model.users.get(20)) >= 0
    assert model.sources.slots.get(1) == model.users.get(1) == -1


def test_a_post_that_waits_keeps_its_row() -> None:
    model = Recommender(capacity=16, users=16)
    model.learn_many(batch(*((1, one) for one in range(1, 15))))
    model.learn_posts([(30, post(30, tags=["sport"], created_at="2026-11-20T08:00:00Z"))])
    assert model.sources.slots.get(30) == -1
    model.learn_many(batch((2, 30)))
    slot = model.sources.slots.get(30)
    assert slot >= 0
    assert model.sources.table.created_at[slot] > 0
    model.learn_posts([(31, post(31)), (31, None)])
    model.learn_many(batch((2, 31)))
    assert model.sources.slots.get(31) == -1, "of a post that was deleted nothing waits"


def test_who_waits_is_bounded() -> None:
    door = Doorkeeper[int](most=10)
    for one in range(100):
        door.note(one, one)
    assert len(door) <= 20
    assert door.knock(99)
    assert not door.knock(1)
    assert (door.leave(99), door.leave(99)) == (99, None)


def test_guests_teach_what_follows_what_and_leave_no_vector() -> None:
    assert is_guest_hash(GUEST)
    assert not is_guest_hash(user_hash("b7c1"))
    model = small()
    model.learn_many(batch(*walks(600)))
    users, scored, lists = len(model.users), model.prequential.scored, model.blend.lists
    model.changed_vectors()
    model.learn_many(batch((GUEST, 500), (GUEST, 501), (GUEST, 502)))
    slots = model.sources.slots
    assert model._past.of(model.readers.get(GUEST)).tolist() == [slots.get(502), slots.get(501), slots.get(500)]
    assert 501 in np.array(slots.ids)[model.sources.transitions.strongest(np.array([slots.get(500)]), 5)[0]]
    assert (len(model.users), model.prequential.scored, model.blend.lists) == (users, scored, lists)
    assert model.prequential.cold_items == 0 or GUEST not in model.users.known_ids()
    assert len(model.changed_vectors().users) == 0


def test_guests_are_bounded_and_take_no_slot_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PASSING", 32)
    model = small()
    model.learn_many(batch(*walks(300)))
    model.learn_many(batch(*((user_hash(f"guest:{number}"), 1 + number % 60) for number in range(200))))
    assert len(model.readers._passing) <= 32
    assert all(model.users.get(one) >= 0 for one in range(1, 31))


def test_a_guest_who_comes_back_is_known_by_the_past_that_the_event_tells() -> None:
    model = small()
    model.learn_many(batch(*walks(300)))
    columns = {"starts": np.array([0, 2], np.int32), "context": np.array([5, 6]), "kinds": np.full(2, 16001, np.int32)}
    model.learn_many(batch((GUEST, 7), **columns))
    assert model.sources.slots.ids[model._past.of(model.readers.get(GUEST))].tolist() == [7, 6, 5]
