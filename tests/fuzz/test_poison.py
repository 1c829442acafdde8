"""No message stops the stream: some hundreds of bad ones a topic here, 100,000 and more with `make fuzz`."""

import pytest
from hypothesis import HealthCheck, given, settings
from poison import GOOD, KEYS, each_field_spoilt, produced_at, values
from survival import survive

from schemas.events import Interaction
from schemas.posts import PostRow
from schemas.topics import INTERACTIONS, POSTS, USERS
from schemas.users import User

FEW = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def test_each_field_of_the_contract_is_spoilt():
    assert set(Interaction.__struct_fields__) < set(GOOD[INTERACTIONS])
    assert set(User.__struct_fields__) < set(GOOD[USERS])
    assert set(PostRow.__struct_fields__) < set(GOOD[POSTS])


@pytest.mark.parametrize("topic", [INTERACTIONS, POSTS, USERS])
def test_every_nasty_value_in_every_field_survives_or_becomes_a_dead_letter(topic: str):
    survived = refused = 0
    for value in each_field_spoilt(topic):
        counts = survive(topic, value)
        survived, refused = survived + counts[0], refused + counts[1]
    assert survived > 500
    assert refused > 1000


@FEW
@given(values(INTERACTIONS), produced_at)
def test_any_interaction_survives_everything_downstream_or_becomes_a_dead_letter(value: bytes, at: float):
    survive(INTERACTIONS, value, at)


@FEW
@given(values(POSTS))
def test_any_post_survives_everything_downstream_or_becomes_a_dead_letter(value: bytes):
    survive(POSTS, value)


@FEW
@given(values(USERS))
def test_any_user_survives_everything_downstream_or_becomes_a_dead_letter(value: bytes):
    survive(USERS, value)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("topic", [INTERACTIONS, POSTS, USERS])
def test_a_null_value_deletes_what_its_key_names_or_becomes_a_dead_letter(topic: str, key: bytes | None):
    survived, refused = survive(topic, None, key=key)
    assert survived + refused == 1
    sound = {POSTS: [b"1"], USERS: [b"1", b"ada", b"-5", b"0", b" 12 ", b"1_000", "١٢".encode(), b"9" * 16]}
    assert survived == (key in sound.get(topic, []))
