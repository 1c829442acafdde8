"""What users, items and neighbours look like in Redis: exact, small, and refused when they are something else."""

import random
from array import array

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models.co_visitation import KEEP, LANDMARK, SLACK, CoVisitation, growth
from online_models.user_history import learn_one
from schemas.columns import inserted, last_place, pack, unpack
from schemas.errors import ReelstreamError
from schemas.events import DEFAULT_WEIGHTS
from schemas.item_state import ItemState, Neighbours, NeighboursOfMany, packed_neighbours
from schemas.user_state import HistoryEvent, UserState
from streams import neighbour_values

NOW_MS = 1_795_000_000_000
YEAR = 365.25 * 86_400


def viewer(events: int, largest_post: int = 100_000) -> UserState:
    """Watches for 20 seconds each, a dozen at a time, and comes back days later."""
    rng, state, at = random.Random(1), UserState(), NOW_MS
    for number in range(events):
        at += rng.randrange(20_000, 60_000) if number % 12 else rng.randrange(30 * 86_400_000)
        event = HistoryEvent(at, rng.randrange(1, largest_post), 0, rng.randrange(1500))
        learn_one(state, event, DEFAULT_WEIGHTS)
    return state


@given(st.lists(st.integers(0, 5) | st.integers(0, 2**16) | st.integers(0, 2**64 - 1), max_size=20))
def test_a_column_survives_packing_and_says_where_each_number_is(numbers: list[int]):
    column = array("H")
    for number in numbers:
        column = inserted(column, len(column), number)
    packed = b"".join(pack(column))
    again, end = unpack(b"x" + packed + b"y", 1, len(numbers))
    assert again.tolist() == numbers
    assert end == len(packed) + 1
    assert pack(again) == pack(column)
    for number in {*numbers, 7, 2**40}:
        places = [place for place, other in enumerate(numbers) if other == number]
        assert last_place(again, number) == (places[-1] if places else -1)


def test_numbers_are_found_in_long_columns_too():
    column = array("I", [*range(5_000), 17])
    assert [last_place(column, number) for number in (17, 4_999, 5_000, 2**40)] == [5_000, 4_999, -1, -1]


def test_an_event_takes_at_most_ten_bytes():
    assert len(viewer(50).encode()) <= 50 * 9 + 20
    assert len(viewer(50, largest_post=2**32).encode()) <= 50 * 10 + 20
    assert len(viewer(1_000).encode()) <= 200 * 9 + 800 * 3 + 30


def test_times_values_and_ids_are_exact_at_their_ends():
    events = [
        HistoryEvent(31_536_000_000, 1, 0, 1),
        HistoryEvent(31_536_000_001, 2**53 - 1, 0, 1_000_000),
        HistoryEvent(NOW_MS, 2**53 - 1, 3, 100_000),
        HistoryEvent(4_102_444_800_123, 2**32, 10, 1000),
    ]
    state = UserState()
    for event in reversed(events):
        learn_one(state, event, DEFAULT_WEIGHTS)
    assert list(UserState.decode(state.encode()).history) == events


OLD_USER = msgspec.msgpack.encode((1, 3, [], [], [], {}))
OLD_NEIGHBOURS = msgspec.msgpack.encode((1, {5: 1.0}))
OLD_ITEM = msgspec.msgpack.encode((1, {}, [0.0, 0.0, 0.0], 0.0, 0.0, "", False))


@pytest.mark.parametrize(
    ("decode", "payload"),
    [(UserState.decode, OLD_USER), (Neighbours.decode, OLD_NEIGHBOURS), (ItemState.decode, OLD_ITEM),
     (UserState.decode, b"")],
)  # fmt: skip
def test_another_format_is_refused_and_the_remedy_named(decode, payload: bytes):
    with pytest.raises(ReelstreamError, match="reelstream rebuild"):
        decode(payload)


@pytest.mark.parametrize("payload", [viewer(300).encode(), Neighbours({5: 1.0, 6: 2.0}).encode()])
def test_a_value_that_is_cut_short_is_refused_wherever_it_ends(payload: bytes):
    decode = UserState.decode if len(payload) > 100 else Neighbours.decode
    history_ends = UserState(viewer(300).history).encode()
    for length in range(1, len(payload)):
        if length != len(history_ends):  # a state without anything older ends there
            with pytest.raises(ReelstreamError):
                decode(payload[:length])


@pytest.mark.parametrize("years", [-58, -33, -4, 0, 8, 60])
def test_neighbours_keep_single_precision_whenever_it_happened(years: int):
    rng, gain = random.Random(2), growth(LANDMARK + years * YEAR)
    weights = {rng.randrange(1, 2**32): gain * 2.0 ** rng.uniform(-9, 9) for _ in range(KEEP)}
    again = Neighbours.decode(Neighbours(weights).encode()).weights
    assert again == pytest.approx(weights, rel=2**-24)
    assert list(again) == list(weights)


def test_a_neighbour_takes_eight_bytes():
    weights = {post_id: growth(NOW_MS / 1000) for post_id in range(1, KEEP + 1)}
    assert len(Neighbours(weights).encode()) <= 8 * KEEP + 8
    assert Neighbours.decode(Neighbours({2**53 - 1: 1.0}).encode()).weights == {2**53 - 1: 1.0}
    assert Neighbours.decode(Neighbours({2**53 - 1: 2.0**200}).encode()).weights == {2**53 - 1: 2.0**200}
    assert Neighbours.decode(Neighbours().encode()).weights == {}


@settings(deadline=None)  # the first call compiles
@given(
    st.dictionaries(st.integers(0, 2**33) | st.integers(0, 2**53), st.floats(0.0, 1e60) | st.floats(0, 2.0**-85)),
    st.integers(-400, 0),
)
def test_a_row_is_packed_from_the_slab_as_from_a_dict(row: dict[int, float], exponent: int):
    row = dict([*row.items()][: KEEP + SLACK])
    if exponent % 2:
        row = {other: min(weight, 1e9) * 2.0**exponent for other, weight in row.items()}
    model = CoVisitation()
    model.load(1, np.array([*row], np.int64), np.array([*row.values()], np.float64))
    model.load(2, np.array([5]), np.array([1.0]))
    packed = Neighbours(row).encode()
    assert neighbour_values.encode(model.rows, [2, 1]) == [Neighbours({5: 1.0}).encode(), packed]
    model.load(1, *Neighbours.columns(packed))
    assert model.row(1) == Neighbours.decode(packed).weights


def test_the_strongest_neighbours_of_many_posts_come_first_and_equals_in_their_order():
    rows = [
        packed_neighbours(None if row is None else Neighbours(row).encode())
        for row in ({3: 1.0, 9: 4.0, 5: 1.0, 7: 2.0**130}, None, {2**40: 3.0, 8: 5.0}, {6: 2.0**-300}, {})
    ]
    found = NeighboursOfMany.strongest(rows, 3)
    assert found.counts.tolist() == [3, 0, 2, 1, 0]
    assert found.ids.tolist() == [7, 9, 3, 8, 2**40, 6]
    assert found.weights.tolist() == [2.0**130, 4.0, 1.0, 5.0, 3.0, 2.0**-300]
    assert found.ids.dtype == np.int64
    assert [len(part) for part in NeighboursOfMany.strongest(rows[1:2], 3)] == [1, 0, 0]


def test_an_item_takes_less_than_ninety_bytes():
    counts = dict.fromkeys(range(5), 500)
    item = ItemState(counts, [1.5, 2.5, 3.5], NOW_MS / 1000, growth(NOW_MS / 1000), "Motivation", True)
    assert len(item.encode()) < 90
    assert ItemState.decode(item.encode()) == item
