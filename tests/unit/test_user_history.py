"""What one interaction changes for its user."""

from hypothesis import given
from hypothesis import strategies as st

from online_models.user_history import CONTEXT, learn_one, recent_posts
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.user_state import HISTORY_LENGTH, SEEN_LENGTH, HistoryEvent, UserState


def event(post_id: int, kind: str = "like", value: float = 1.0, at: float = 0.0) -> HistoryEvent:
    return HistoryEvent(round(at * 1000), post_id, TYPE_CODES[kind], round(value * 1000))


def learn(state: UserState, *events: HistoryEvent):
    return [learn_one(state, each, DEFAULT_WEIGHTS) for each in events][-1]


def test_a_like_is_remembered_and_seen_and_related_to_what_came_before():
    state = UserState()
    effect = learn(state, event(1, at=1), event(2, at=2), event(3, at=3))
    assert effect == (1, 3.0, 3.0, [2, 1])
    assert recent_posts(state, 2) == [3, 2]
    assert list(state.seen) == [1, 2, 3]


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
    assert state.history == []
    assert 1 in state.seen


def test_taking_back_what_was_never_given_changes_nothing():
    state = UserState()
    assert learn(state, event(1, value=0.0)).delta == 0
    assert state.history == []
    assert state.reactions == {}


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
    assert list(state.excluded) == [1]
    learn(state, event(1, "report", 0.0, at=2))
    assert list(state.excluded) == [1]
    learn(state, event(1, "not_interested", 0.0, at=3))
    assert not state.excluded
    assert not state.seen


def test_disliked_posts_are_no_context_for_others():
    state = UserState()
    assert learn(state, event(1, "exit", at=1), event(2, at=2)).context == []


def test_everything_a_user_can_grow_is_bounded():
    state = UserState()
    for post_id in range(1, 3 * SEEN_LENGTH):
        learn(state, event(post_id, at=post_id), event(post_id, "exit", at=post_id))
    assert len(state.history) == HISTORY_LENGTH
    assert len(state.seen) == SEEN_LENGTH
    assert len(learn(state, event(1, at=1e6)).context) == CONTEXT
    assert len(state.encode()) < 64_000


events = st.builds(
    event,
    st.integers(1, 5) | st.integers(1, 2**53 - 1),
    st.sampled_from(list(TYPE_CODES)),
    st.sampled_from([0.0, 1.0]) | st.floats(0, 100).map(lambda value: round(value, 3)),
    st.floats(0, 2e9),
)


@given(st.lists(events, max_size=60))
def test_a_state_survives_encoding_whatever_happened(happened: list[HistoryEvent]):
    state = UserState()
    for each in happened:
        learn_one(state, each, DEFAULT_WEIGHTS)
    assert UserState.decode(state.encode()) == state
    assert state.history == sorted(state.history)


@given(st.lists(events, max_size=30), st.lists(events, max_size=30))
def test_learning_from_a_decoded_state_is_learning_from_the_state(first: list[HistoryEvent], then: list[HistoryEvent]):
    straight = UserState()
    for each in first:
        learn_one(straight, each, DEFAULT_WEIGHTS)
    reloaded = UserState.decode(straight.encode())
    for each in then:
        assert learn_one(straight, each, DEFAULT_WEIGHTS) == learn_one(reloaded, each, DEFAULT_WEIGHTS)
    assert straight == reloaded
