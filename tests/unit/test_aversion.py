"""Negative feedback: what a post shares with one that the user turned against lowers it at once, and for that user."""

import numpy as np
import pytest

from online_models.aversion import aversion, dislikes
from online_models.recommender import Recommender
from schemas.events import TYPE_CODES
from tests.unit.test_recommender import AT, REPORT, VIEW, batch, post

TURNED = [("exit", 1000), ("not_interested", 1000), ("report", 1000), ("rating", 20_000), ("view", 20)]
"""All kinds of negative feedback: a type and its value in thousandths."""
LIKED, DISLIKED, SAME_AUTHOR, SAME_TAGS, NEIGHBOUR, OTHER = range(1, 7)


@pytest.fixture
def model() -> Recommender:
    """Users who came to DISLIKED came to NEIGHBOUR too, and user 1 reports DISLIKED."""
    model = Recommender(sample=1.0, capacity=64, users=64)
    rows = [
        post(LIKED, username="a"), post(DISLIKED, username="b", tags=["loud", "long"]), post(SAME_AUTHOR, username="b"),
        post(SAME_TAGS, username="c", tags=["loud"]), post(NEIGHBOUR, username="d"), post(OTHER, username="e"),
    ]  # fmt: skip
    model.learn_posts([(row.id, row) for row in rows])
    pairs = [(user, post_id) for user in range(10, 40) for post_id in (DISLIKED, NEIGHBOUR)]
    model.learn_many(batch(*pairs, *((50, post_id) for post_id in (LIKED, SAME_AUTHOR, SAME_TAGS, OTHER))))
    model.learn_many(batch((1, LIKED)))
    return model


def averse(model: Recommender, user: int) -> dict[int, list[float]]:
    """By post: disliked neighbour, author and tags."""
    slots = model.sources.slots
    allowed = np.ones(slots.size, np.bool_)
    _, found, features = model.candidates(model.users.get(user), AT + 1e5, allowed)
    from online_models.features import FEATURES

    at = FEATURES.index("disliked_neighbour")
    return {int(slots.ids[slot]): row.tolist() for slot, row in zip(found.slots, features[:, at : at + 3], strict=True)}


@pytest.mark.parametrize(("kind", "value"), TURNED)
def test_author_tags_and_neighbours_of_a_post_that_the_user_turned_against_count_less(
    model: Recommender, kind: str, value: int
) -> None:
    assert not any(any(row) for row in averse(model, 1).values())
    model.learn_many(batch((1, DISLIKED), kind=TYPE_CODES[kind], value=value))
    found = averse(model, 1)
    assert found[SAME_AUTHOR] == [0.0, 1.0, 0.0]
    assert found[SAME_TAGS] == pytest.approx([0.0, 0.0, 0.5])
    assert found[NEIGHBOUR][0] > 0.3
    assert found[OTHER] == [0.0, 0.0, 0.0]
    assert not any(any(row) for row in averse(model, 50).values()), "others are not concerned"


def test_a_dislike_that_is_taken_back_lowers_nothing(model: Recommender) -> None:
    model.learn_many(batch((1, DISLIKED), kind=REPORT))
    model.learn_many(batch((1, DISLIKED), kind=REPORT, delta=-np.ones(1, np.int8)))
    assert not any(any(row) for row in averse(model, 1).values())


def test_an_older_dislike_counts_less() -> None:
    slots = np.arange(3, dtype=np.int32)
    author, tags = np.array([1, 2, 9], np.int32), np.full((3, 8), -1, np.int16)
    model = Recommender(capacity=8, users=8)
    rows, strength = model.sources.rows(np.empty(0, np.int32))._replace(found=np.full(2, -1, np.int32)), np.zeros(3)
    found = np.zeros((3, 3), np.float32)
    aversion(found, slots, slots, np.array([1, 0], np.int32), author, tags, rows, strength, 1.0)
    assert found[:, 1].tolist() == pytest.approx([0.9, 1.0, 0.0])


def test_what_turns_a_user_against_a_post() -> None:
    codes = np.array([REPORT, VIEW, VIEW, TYPE_CODES["rating"], TYPE_CODES["rating"], TYPE_CODES["like"]], np.int8)
    values = np.array([1000, 29, 30, 20_000, 40_000, 1000])
    assert dislikes(codes, values).tolist() == [True, True, False, True, False, False]
