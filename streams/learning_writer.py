"""Collects what stage 1 tells the global models: events, each with its user's past."""

from array import array

import numpy as np
from numpy.typing import NDArray

from online_models.user_history import Effect
from schemas import learning, topics
from schemas.columns import last_place
from schemas.learning import MOST_CONTEXT, LearningBatch, LearningMessage, user_hash
from schemas.user_state import HistoryEvent, UserState

from .producing import Outgoing

_NEWEST = slice(-MOST_CONTEXT, None)
_TYPECODES = "qqdbibddbiq"
"""Of the columns, as arrays: they take numbers out of a tuple in a third of the time that numpy needs."""

Past = tuple[bool, int, int, "array[int]", "array[int]"]
"""Of a user before an event: new, events, newest_at, posts and kinds. Not named: that took 0.2 µs more."""


def past_of(state: UserState, post_id: int) -> Past:
    """The past of an event with that post; to be taken before the event is learnt."""
    history, seen, excluded = state.history, state.older_seen, state.older_excluded
    posts = history.posts
    new = (
        last_place(posts, post_id) < 0
        and not (seen and last_place(seen, post_id) >= 0)
        and not (excluded and last_place(excluded, post_id) >= 0)
    )
    return new, state.events, history.newest_at, posts[_NEWEST], history.kinds[_NEWEST]


class LearningWriter:
    """Events of one batch, in order."""

    def __init__(self) -> None:
        self._events: list[tuple[int, int, float, int, int, int, float, float, bool, int, int]] = []
        self._posts: list[array[int]] = []
        self._kinds: list[array[int]] = []

    def add(self, username: str, at: float, event: HistoryEvent, effect: Effect, past: Past) -> None:
        _, post_id, code, value_milli = event
        delta, weight, gain, _ = effect
        new, events, newest_at, posts, kinds = past
        self._events.append(
            # A view or rating that is taken back has a value below 0, and no strength of that value.
            (user_hash(username), post_id, at, code, max(value_milli, 0), delta, weight, gain, new, events, newest_at)
        )
        self._posts.append(posts)
        self._kinds.append(kinds)

    def messages(self) -> list[Outgoing]:
        """What was collected, in messages that a broker takes. They carry the time they are sent, not that of their
        events: the learner tells by it how far behind it is."""
        return [
            Outgoing(topics.LEARNING, 0, None, learning.encode(LearningMessage(self.batch(start), [])))
            for start in range(0, len(self._events), learning.MOST_EVENTS)
        ]

    def batch(self, start: int = 0) -> LearningBatch:
        """The events from `start` on, as many as go into a message, at least one."""
        part = slice(start, start + learning.MOST_EVENTS)
        columns = [
            np.array(array(code, column))
            for code, column in zip(_TYPECODES, zip(*self._events[part], strict=True), strict=True)
        ]
        *columns, newest_at = columns
        posts, kinds = self._posts[part], self._kinds[part]
        lengths = np.fromiter(map(len, posts), np.int32, len(posts))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        return LearningBatch(*[*columns, newest_at / 1000, starts, _flat(posts, lengths), _flat(kinds, lengths)])


def _flat(columns: "list[array[int]]", lengths: NDArray[np.int32]) -> NDArray[np.integer]:
    """Columns of whatever widths one after the other. lengths (n,): theirs."""
    sizes = np.array([column.itemsize for column in columns])
    widths = set(sizes.tolist())
    packed = {
        width: np.frombuffer(b"".join([column for column in columns if column.itemsize == width]), f"u{width}")
        for width in widths
    }
    if len(widths) == 1:
        return packed[widths.pop()]
    flat = np.empty(lengths.sum(), np.int64)
    for width in widths:
        flat[np.repeat(sizes == width, lengths)] = packed[width]
    return flat
