"""What stage 1 tells the global models: the columns, their bytes, and the pasts they carry."""

from contextlib import suppress
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models.contexts import MOST_POSTS, distinct_contexts
from online_models.user_history import Effect, learn_one
from schemas import learning
from schemas.errors import ContractError
from schemas.events import DEFAULT_WEIGHTS, MOST_ID, TYPE_CODES
from schemas.impressions import Impression
from schemas.learning import MOST_CONTEXT, LearningBatch, LearningMessage, Shown, user_hash
from schemas.posts import decode_post
from schemas.user_state import HistoryEvent, UserState
from streams.learning_writer import LearningWriter, past_of

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "eve"]),
        st.one_of(st.integers(1, 9), st.integers(1, MOST_ID)),
        st.sampled_from(["view", "like", "rating", "not_interested"]),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=150,
)


def written(events: list[tuple[str, int, str, float]]) -> list[LearningMessage]:
    writer, states = LearningWriter(), {}
    for second, (name, post_id, kind, value) in enumerate(events):
        state = states.setdefault(name, UserState())
        happened = HistoryEvent(1_700_000_000_000 + second, post_id, TYPE_CODES[kind], round(value * 1000))
        past = past_of(state, post_id)
        effect = learn_one(state, happened, DEFAULT_WEIGHTS)
        if effect.delta:
            writer.add(name, happened.at_ms / 1000, happened, effect, past)
    return [learning.decode(message.value) for message in writer.messages()]


def batch_of(*posts: int) -> LearningBatch:
    (message,) = written([("ann", post, "view", 1.0) for post in posts])
    assert message.events is not None
    return message.events


@given(EVENTS)
@settings(max_examples=60, deadline=None)
def test_what_is_decoded_is_what_was_written_and_the_pasts_are_those_of_the_users(events):
    pasts: dict[str, list[int]] = {}
    told = [batch for message in written(events) if (batch := message.events)]
    joined = iter(range(sum(batch.size for batch in told)))
    batch = LearningBatch.joined(told) if told else None
    standing = [each for each in events if not (each[2] in ("like", "not_interested") and round(each[3] * 1000) == 0)]
    for name, post_id, _, value in standing if len(standing) == len(events) else ():
        number = next(joined)
        past = pasts.setdefault(name, [])
        assert (batch.user[number], batch.post_id[number]) == (user_hash(name), post_id)
        assert batch.value_milli[number] == round(value * 1000)
        assert batch.events[number] == len(past)
        assert batch.new[number] == (post_id not in past)
        assert batch.context[batch.starts[number] : batch.starts[number + 1]].tolist() == past[-MOST_CONTEXT:]
        past.append(post_id)
    if batch is not None:
        again = learning.decode(learning.encode(LearningMessage(batch, []))).events
        assert all(np.array_equal(one, other) for one, other in zip(batch, again, strict=True))


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_whatever_bytes_come_they_are_read_or_refused(payload):
    with suppress(ContractError):
        learning.decode(payload)


@given(st.data())
@settings(deadline=None)
def test_a_spoilt_byte_never_makes_columns_that_do_not_fit(data):
    payload = bytearray(learning.encode(LearningMessage(batch_of(5, 6, 5, 7), [])))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        events = learning.decode(bytes(payload)).events
    except ContractError:
        return
    if events is not None:
        assert [len(column) for column in events[:11]] == [events.size] * 11
        assert len(events.context) == len(events.kinds) == events.starts[-1]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"at": [np.nan] * 3}, {"post_id": [0] * 3}, {"delta": [2] * 3}, {"gain": [-1.0] * 3}, {"kinds": [15] * 3},
        {"weight": [1e9] * 3}, {"type_code": [11] * 3}, {"context": [0] * 3}, {"events": [-1] * 3}, {"new": [1] * 4},
        {"value_milli": [-5] * 3}, {"previous_at": [-1.0] * 3}, {"starts": [0, 1, 2, 9]},
    ],
)  # fmt: skip
def test_columns_that_stage_1_would_not_write_are_refused(spoilt: dict[str, list[float]]):
    batch = batch_of(5, 6, 7)
    bad = batch._replace(**{name: np.array(values) for name, values in spoilt.items()})
    with pytest.raises(ContractError, match="not a learning event"):
        learning.decode(learning.encode(LearningMessage(bad, [])))


def test_a_full_message_fits_a_broker_and_more_go_in_several():
    writer, state = LearningWriter(), UserState()
    for second in range(MOST_CONTEXT):
        learn_one(state, HistoryEvent(1_700_000_000_000 + second, MOST_ID - second, 3, 100_000), DEFAULT_WEIGHTS)
    for _ in range(learning.MOST_EVENTS + 1):
        happened = HistoryEvent(1_700_000_000_000, MOST_ID, 0, 1000)
        writer.add("ann", 1.7e9, happened, Effect(1, 1.0, 1.0, []), past_of(state, 9))
    first, second = writer.messages()
    assert len(first.value) < 1_000_000
    assert [learning.decode(each.value).events.size for each in (first, second)] == [learning.MOST_EVENTS, 1]


def test_every_nth_event_keeps_its_past():
    batch = batch_of(*range(1, 11))
    kept = batch.every(4)
    assert kept.post_id.tolist() == [1, 5, 9]
    assert kept.context.tolist() == [*range(1, 5), *range(1, 9)]
    assert kept.starts.tolist() == [0, 0, 4, 12]


def test_a_context_is_distinct_newest_first_and_without_what_was_disliked():
    events = [("ann", post, "view", 1.0) for post in (4, 2, 4, 3)]
    events += [("ann", 8, "not_interested", 1.0), ("ann", 2, "like", 1.0), ("ann", 9, "view", 1.0)]
    (message,) = written(events)
    starts, posts = distinct_contexts(message.events)
    assert [posts[start:end].tolist() for start, end in pairwise(starts)] == [
        [], [4], [2], [4, 2], [3, 4, 2], [3, 4], [2, 3, 4],
    ]  # fmt: skip
    starts, posts = distinct_contexts(batch_of(*range(1, 100)))
    assert np.diff(starts).max() == MOST_POSTS


def test_a_row_of_another_post_is_refused():
    message = LearningMessage(None, [(4, decode_post(b'{"id": 5}'))])
    with pytest.raises(ContractError, match="not that of its post"):
        learning.decode(learning.encode(message))


PAGE = Impression(
    recommendation_id="r", username="ann", session_id=None, served_at=1.7e9, algorithm_used="svd", model_versions={},
    position=20, posts=[7, MOST_ID, 9], scores=[0.5, 0.4, None], sources=[["svd"], ["svd", "fresh"], ["fresh"]],
)  # fmt: skip


def test_a_page_goes_without_names_and_arrives_as_it_was_served():
    sent = LearningMessage(None, [], [Shown.of(PAGE)])
    assert learning.decode(learning.encode(sent)).shown == [
        Shown(user_hash("ann"), 1.7e9, 20, [7, MOST_ID, 9], {"svd": [0, 1], "fresh": [1, 2]})
    ]
    assert b"ann" not in learning.encode(sent)
    both = learning.decode(learning.encode(LearningMessage(batch_of(5, 6), [], sent.shown)))
    assert both.events is not None
    assert (both.events.size, both.shown) == (2, sent.shown)


def test_what_sources_of_feeds_say_travels_in_half_precision():
    page = msgspec.structs.replace(PAGE, outside={"svd": [-4.999, 0.123, 1.0], "deep": [0.0, -100.0, 100.0]})
    (sent,) = learning.decode(learning.encode(LearningMessage(None, [], [Shown.of(page)]))).shown
    found = sent.outside_at(np.array([0, 2]))
    assert found["svd"] == pytest.approx([-4.999, 1.0], abs=2e-3)
    assert found["deep"].tolist() == [0.0, 100.0]
    assert Shown.of(PAGE).outside_at(np.array([0, 2])) == {}
    before = msgspec.msgpack.encode([[], [], [list(msgspec.to_builtins(sent))[:5]]])
    assert learning.decode(before).shown[0].outside == {}


def test_a_message_of_before_there_were_pages_is_read():
    old = msgspec.msgpack.encode(msgspec.msgpack.decode(learning.encode(LearningMessage(batch_of(5), [])))[:2])
    assert learning.decode(old).shown == []


@pytest.mark.parametrize(
    "changes",
    [{"at": 5e9}, {"at": float("nan")}, {"position": -1}, {"posts": []}, {"posts": [0]}, {"posts": [1] * 1_001},
     {"sources": {"svd": [3]}}, {"sources": {"svd": [-1]}}, {"outside": {"svd": b"\0\0\0\0"}},
     {"outside": {"svd": np.array([1, np.nan, 1], np.float16).tobytes()}}, {"outside": {"a\n": b"\0" * 6}},
     {"outside": {"svd": np.full(3, 200, np.float16).tobytes()}}, {"outside": {f"s{n}": b"\0" * 6 for n in range(33)}}],
)  # fmt: skip
def test_a_page_that_is_none_is_refused(changes):
    page = msgspec.structs.replace(Shown.of(PAGE), **changes)
    with pytest.raises(ContractError, match="a page is none"):
        learning.decode(learning.encode(LearningMessage(None, [], [page])))
