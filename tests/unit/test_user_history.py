"""What one interaction changes for its user."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models.user_history import CONTEXT, learn_one, recent_posts
from schemas.events import (
    DEFAULT_WEIGHTS,
    INTERACTION_TYPES,
    MEASURED_TYPES,
    NEGATIVE_TYPES,
    TAKEN_BACK,
    TYPE_CODES,
)
from schemas.user_state import (
    EXCLUDED_LENGTH,
    HISTORY_LENGTH,
    REACTIONS_LENGTH,
    SEEN_LENGTH,
    HistoryEvent,
    UserState,
    reaction_key,
)


def event(post_id: int, kind: str = "like", value: float = 1.0, at: float = 0.0) -> HistoryEvent:
    return HistoryEvent(round(at * 1000), post_id, TYPE_CODES[kind], round(value * 1000))


def learn(state: UserState, *events: HistoryEvent):
    return [learn_one(state, each, DEFAULT_WEIGHTS) for each in events][-1]


def test_a_like_is_remembered_and_seen_and_related_to_what_came_before():
    state = UserState()
    effect = learn(state, event(1, at=1), event(2, at=2), event(3, at=3))
    assert effect == (1, 3.0, 3.0, [2, 1])
    assert recent_posts(state, 2) == [3, 2]
    assert state.seen == {1, 2, 3}


def test_a_late_event_finds_its_place_by_event_time_and_sees_only_what_lay_before():
    state = UserState()
    effect = learn(state, event(1, at=1), event(3, at=3), event(2, at=2))
    assert effect.context == [1]
    assert recent_posts(state, 3) == [3, 2, 1]


def test_a_stronger_interaction_with_the_same_post_gains_only_the_difference():
    state = UserState()
    assert learn(state, event(1, "view", 0.5)).gain == 0.5
    assert learn(state, event(1, "like")).gain == 2.5
    assert learn(state, event(1, "view", 1.0)).gain == 0.0


def test_an_unlike_takes_back_the_newest_like_and_leaves_the_post_seen():
    state = UserState()
    effect = learn(state, event(1), event(1, value=0.0, at=1))
    assert effect.delta == -1
    assert len(state.history) == 0
    assert state.seen == {1}


def test_taking_back_what_was_never_given_changes_nothing():
    state = UserState()
    assert learn(state, event(1, value=0.0)).delta == 0
    assert len(state.history) == 0
    assert not state.reactions


def test_two_likes_and_an_unlike_leave_one_like():
    state = UserState()
    assert [learn(state, event(1, value=value, at=at)).delta for at, value in enumerate([1, 1, 0, 0, 0])] == [
        1,
        1,
        -1,
        -1,
        0,
    ]


def test_a_view_of_value_zero_is_a_view_and_a_rating_of_zero_a_rating():
    state = UserState()
    assert learn(state, event(1, "view", 0.0)).delta == 1
    assert learn(state, event(1, "rating", 0.0)).delta == 1


def test_a_dislike_excludes_the_post_until_it_is_taken_back():
    state = UserState()
    learn(state, event(1, "not_interested"), event(1, "report", at=1))
    assert state.excluded == {1}
    learn(state, event(1, "report", 0.0, at=2))
    assert state.excluded == {1}
    learn(state, event(1, "not_interested", 0.0, at=3))
    assert not state.excluded
    assert not state.seen


def test_disliked_posts_are_no_context_for_others():
    state = UserState()
    assert learn(state, event(1, "exit", at=1), event(2, at=2)).context == []


def test_a_post_that_was_disliked_before_it_was_liked_gains_what_the_like_says():
    state = UserState()
    assert learn(state, event(1, "exit"), event(1, "like", at=1)).gain == 3.0


def test_everything_a_user_can_grow_is_bounded():
    state = UserState()
    for post_id in range(1, 3 * SEEN_LENGTH):
        learn(state, event(post_id, at=post_id), event(post_id, "exit", at=post_id))
    assert len(state.history) == HISTORY_LENGTH
    assert len(state.older_seen) == SEEN_LENGTH
    assert len(state.older_excluded) == EXCLUDED_LENGTH
    assert len(state.older_reactions) == REACTIONS_LENGTH
    assert len(learn(state, event(1, at=1e6)).context) == CONTEXT
    assert len(state.encode()) < 25_000


def test_what_left_the_history_is_remembered_and_can_be_taken_back():
    state = UserState()
    learn(state, event(1, at=1), event(1, at=2), event(2, "report", at=3))
    learn(state, *(event(post_id, "view", at=post_id) for post_id in range(10, 10 + HISTORY_LENGTH)))
    assert {past.post_id for past in state.history}.isdisjoint({1, 2})
    assert state.seen == {1, *range(10, 10 + HISTORY_LENGTH)}
    assert state.excluded == {2}
    assert [learn(state, event(1, value=0.0, at=999)).delta for _ in range(3)] == [-1, -1, 0]
    assert 1 in state.seen
    assert learn(state, event(2, "report", 0.0, at=999)).delta == -1
    assert not state.excluded


events = st.builds(
    event,
    st.integers(1, 5) | st.integers(1, 2**53 - 1),
    st.sampled_from(list(TYPE_CODES)),
    st.sampled_from([0.0, 1.0]) | st.floats(0, 100).map(lambda value: round(value, 3)),
    st.floats(0, 2e9),
)


@given(st.lists(events, max_size=60))
def test_the_history_is_in_order_and_says_what_happened(happened: list[HistoryEvent]):
    state = UserState()
    kept = [each for each in happened if learn_one(state, each, DEFAULT_WEIGHTS).delta == 1]
    assert list(state.history) == sorted(state.history)
    assert Counter(state.history) <= Counter(kept)


class PlainState:
    """The same rules in lists and counters, without a thought for bytes: what UserState has to agree with."""

    def __init__(self) -> None:
        self.history: list[HistoryEvent] = []
        self.seen: set[int] = set()
        self.excluded: set[int] = set()
        self.reactions: Counter[int] = Counter()

    def learn(self, event: HistoryEvent) -> int:
        """Returns the delta."""
        key, negative = reaction_key(event.post_id, event.type_code), event.interaction_type in NEGATIVE_TYPES
        measured = event.interaction_type in MEASURED_TYPES
        if event.value_milli == 0 and not measured:
            if not self.reactions[key]:
                return 0
            self.reactions[key] -= 1
            same = [past for past in self.history if (past.post_id, past.type_code) == (event.post_id, event.type_code)]
            if same:
                self.history.remove(same[-1])
            if not any(self.reactions[reaction_key(event.post_id, TYPE_CODES[name])] for name in NEGATIVE_TYPES):
                self.excluded.discard(event.post_id)
            return -1
        self.reactions[key] += not measured
        self.history = sorted([*self.history, event])[-HISTORY_LENGTH:]
        (self.excluded if negative else self.seen).add(event.post_id)
        return 1


def busy_user(seed: int, length: int, posts: int, late: float) -> Iterator[HistoryEvent]:
    """Events as a publisher may send them: repeats, pauses of months, ties, a share of them late, all types."""
    rng, at = random.Random(seed), 1_700_000_000_000
    for _ in range(length):
        at += rng.choice([0, 1, 30_000, 30_000, 30_000, 86_400_000, 90 * 86_400_000])
        code = rng.randrange(len(INTERACTION_TYPES))
        measured = INTERACTION_TYPES[code] in MEASURED_TYPES
        value = (
            rng.choice([0, 1000, rng.randrange(3000), rng.randrange(100_001)]) if measured else rng.choice([0, 1000])
        )
        lateness = rng.randrange(10**9) if rng.random() < late else 0
        yield HistoryEvent(at - lateness, rng.randrange(1, posts), code, value)


users = st.builds(
    busy_user,
    st.integers(0, 2**32),
    st.integers(0, 600),
    st.sampled_from([4, 300, 2**53]),
    st.sampled_from([0, 0.1, 0.9]),
)


@settings(max_examples=40, deadline=None)
@given(users)
def test_a_state_says_what_plain_lists_would_say(happened: Iterator[HistoryEvent]):
    state, plain = UserState(), PlainState()
    for each in happened:
        assert learn_one(state, each, DEFAULT_WEIGHTS).delta == plain.learn(each)
    assert list(state.history) == plain.history
    assert (state.seen, state.excluded, state.reactions) == (plain.seen, plain.excluded, +plain.reactions)


@settings(max_examples=40, deadline=None)
@given(users, st.integers(0, 2**32), st.sampled_from([0.02, 0.5]))
def test_a_state_that_is_read_again_at_any_time_goes_on_as_one_that_stayed(happened, seed: int, often: float):
    rng, stayed, reread = random.Random(seed), UserState(), UserState()
    for each in happened:
        assert learn_one(stayed, each, DEFAULT_WEIGHTS) == learn_one(reread, each, DEFAULT_WEIGHTS)
        if rng.random() < often:
            reread = UserState.decode(reread.encode())
    assert stayed == reread
    assert stayed.encode() == reread.encode()


@pytest.mark.parametrize("late", [0, 0.3])
def test_so_it_does_when_every_length_is_reached(late: float):
    stayed, reread = UserState(), UserState()
    for number, each in enumerate(busy_user(5, 3 * SEEN_LENGTH, 3 * SEEN_LENGTH, late)):
        for kind in (each, each._replace(type_code=TYPE_CODES["exit"], value_milli=1000)):
            assert learn_one(stayed, kind, DEFAULT_WEIGHTS) == learn_one(reread, kind, DEFAULT_WEIGHTS)
        if number % 97 == 0:
            reread = UserState.decode(reread.encode())
    assert len(stayed.older_seen) == SEEN_LENGTH
    assert len(stayed.older_excluded) == EXCLUDED_LENGTH
    assert len(stayed.older_reactions) == REACTIONS_LENGTH
    assert stayed == reread


def take_back(post_id: int, kind: str, at: float = 0.0) -> HistoryEvent:
    return event(post_id, kind, TAKEN_BACK, at)


def test_a_rating_that_is_taken_back_leaves_with_the_strength_it_had():
    state = UserState()
    learn(state, event(1, "rating", 20, at=1), event(1, "rating", 60, at=2))
    effect = learn(state, take_back(1, "rating", at=2))
    assert (effect.delta, effect.weight) == (-1, pytest.approx(DEFAULT_WEIGHTS["rating"] * 0.6))
    assert [past.value for past in state.history] == [20]
    assert state.seen == {1}


def test_taking_back_a_view_that_never_was_changes_nothing():
    state = UserState()
    assert learn(state, event(1, "like"), take_back(1, "view")).delta == 0
    assert len(state.history) == 1


def test_a_view_that_left_the_history_by_its_cap_can_still_be_taken_back():
    state = UserState()
    learn(state, *(event(post_id, "view", at=post_id) for post_id in range(1, HISTORY_LENGTH + 2)))
    assert learn(state, take_back(1, "view", at=1)) == (-1, 0.0, 0.0, [])
    assert len(state.history) == HISTORY_LENGTH
