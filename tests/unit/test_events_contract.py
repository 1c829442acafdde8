"""The public event contract: what is accepted, and what a publisher is told otherwise."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from schemas.errors import ContractError
from schemas.events import (
    DEFAULT_WEIGHTS,
    INTERACTION_TYPES,
    TAKEN_BACK,
    Interaction,
    decode_interaction,
    decode_message,
    strength,
)

GOLDEN = {
    "event_id": "0192", "username": "user123", "post_id": 1234, "interaction_type": "like", "interaction_value": 1.0,
    "occurred_at": "2026-11-22T20:54:00.123Z", "recommendation_id": None, "session_id": None, "source": "api",
    "schema_version": 1,
}  # fmt: skip


def decode(**changes) -> Interaction:
    """UNSET leaves a field out."""
    fields = {name: value for name, value in {**GOLDEN, **changes}.items() if value is not UNSET}
    return decode_interaction(json.dumps(fields).encode())


def test_the_golden_message_of_version_1_decodes_for_ever():
    event = decode()
    assert event.occurred_at == datetime(2026, 11, 22, 20, 54, 0, 123000, UTC)
    assert (event.username, event.post_id, event.interaction_type, event.interaction_value) == (
        "user123",
        1234,
        "like",
        1,
    )


def test_only_three_fields_are_required_and_unknown_ones_are_ignored():
    event = decode_interaction(b'{"username":"u","post_id":1,"interaction_type":"view","new_field":[1]}')
    assert event.interaction_value == 1.0
    assert event.event_id is None


def test_a_time_without_an_offset_is_utc():
    assert decode(occurred_at="2026-11-22T20:54:00").occurred_at == datetime(2026, 11, 22, 20, 54, tzinfo=UTC)


@pytest.mark.parametrize(("kind", "value"), [("view", TAKEN_BACK), ("rating", TAKEN_BACK), ("like", 0.0)])
def test_any_type_can_be_taken_back_and_stays_so_when_it_is_sent_on(kind: str, value: float):
    event = decode(interaction_type=kind, interaction_value=None, take_back=True)
    assert event.interaction_value == value
    assert decode_interaction(msgspec.json.encode(event)) == event


def test_a_session_without_a_username_is_a_guest_and_stays_one_when_it_is_sent_on():
    event = decode(username=UNSET, session_id="b7c1")
    assert event.username == "guest:b7c1"
    assert decode_interaction(msgspec.json.encode(event)) == event
    assert decode(session_id="b7c1").username == "user123"


def test_rate_is_a_rating():
    assert decode(interaction_type="rate", interaction_value=55).interaction_type == "rating"


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"post_id": "1"}, "post_id", "Expected `int`, got `str`"),
        ({"post_id": 0}, "post_id", ">= 1"),
        ({"post_id": 2**60}, "post_id", "<= 9007199254740991"),
        ({"username": ""}, "username", "length >= 1"),
        ({"username": "x" * 129}, "username", "length <= 128"),
        ({"username": "a\x00b"}, "username", "regex"),
        ({"username": UNSET}, "username", "a guest sends session_id"),
        ({"username": UNSET, "session_id": "s" * 123}, "session_id", "up to 122 characters"),
        ({"interaction_type": "poke"}, "interaction_type", "allowed: view, like"),
        ({"interaction_type": "view", "interaction_value": -1}, "interaction_value", "0 to 1000"),
        ({"interaction_type": "rating", "interaction_value": 101}, "interaction_value", "0 to 100"),
        ({"interaction_type": "rating", "interaction_value": None}, "interaction_value", "0 to 100"),
        ({"interaction_value": 0.5}, "interaction_value", "1, or 0 to take it back"),
        ({"occurred_at": "yesterday"}, "occurred_at", "RFC3339"),
        ({"occurred_at": "1969-01-01T00:00:00Z"}, "occurred_at", "after 1970"),
    ],
)
def test_a_refusal_names_the_field_and_what_is_allowed(changes, field, says):
    with pytest.raises(ContractError) as refused:
        decode(**changes)
    assert refused.value.field == field
    assert says in str(refused.value)


def test_a_missing_field_is_named():
    with pytest.raises(ContractError) as refused:
        decode_interaction(b'{"username":"u","post_id":1}')
    assert refused.value.field == "interaction_type"


def test_a_bad_entry_of_an_array_costs_only_itself():
    good = json.dumps(GOLDEN)
    first, bad, last = decode_message(f'[{good}, {{"username": 5}}, {good}]'.encode())
    assert isinstance(first, Interaction)
    assert isinstance(last, Interaction)
    assert isinstance(bad, ContractError)
    assert bad.payload == b'{"username": 5}'


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOLDEN]) | st.text(), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_anything_at_all_is_decoded_or_refused_but_never_crashes(payload: bytes):
    with suppress(ContractError):
        for entry in decode_message(payload):
            assert isinstance(entry, Interaction | ContractError)


def test_deep_nesting_is_refused():
    with pytest.raises(ContractError):
        decode_message(b"[" * 1_000_000)


def test_strength_is_the_weight_scaled_by_what_was_measured():
    assert strength("view", 0.5, DEFAULT_WEIGHTS) == 0.5
    assert strength("view", 3.0, DEFAULT_WEIGHTS) == 1.0
    assert strength("rating", 50.0, DEFAULT_WEIGHTS) == 1.5
    assert strength("report", 1.0, DEFAULT_WEIGHTS) < 0
    assert set(DEFAULT_WEIGHTS) == set(INTERACTION_TYPES)
