"""What the deep model is trained on: the events of every user one after the other, and windows over them.

An example is a place in a user's events: it sees what came before, and is to find what came after. So no example
knows its future, whatever the windows are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from online_models.event_sequence import LENGTH, NO_GAP, gap_buckets, shares
from online_models.positives import Positives

from .dataset import Interactions, standing

STRIDE = LENGTH // 2
"""New places a window: each has at least so many events before it, where the user has them."""


@dataclass(frozen=True)
class EventSequences:
    """Columns of n events by user, in time order within one: posts, types, values, gaps as in
    online_models.event_sequence, but posts are positions in the snapshot. at (n,): seconds since 1970.

    starts (users + 1,): where the events of each user begin. ends (n,): where those of the event's user end.
    new (n,): the user meets the post for the first time. good (n,): such that the rules call positive.
    """

    posts: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float32]
    gaps: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    new: NDArray[np.bool_]
    good: NDArray[np.bool_]
    at: NDArray[np.float64]


def sequences(part: Interactions, positives: Positives) -> EventSequences:
    """All events of a part but what was taken back in it."""
    part = part.where(np.flatnonzero(standing(part)))
    order = np.argsort(part.users, kind="stable")
    users, posts, types, at = part.users[order], part.posts[order].astype(np.int64), part.types[order], part.at[order]
    values = part.values[order]
    starts = np.searchsorted(users, np.arange(part.user_count + 1))
    gaps = gap_buckets(np.diff(at, prepend=0.0))
    gaps[starts[:-1][np.diff(starts) > 0]] = NO_GAP
    _, first = np.unique(users * np.int64(len(part.post_ids)) + posts, return_index=True)
    new = np.zeros(len(posts), np.bool_)
    new[first] = True
    good = positives.of(types.astype(np.int8), np.round(values * 1000).astype(np.int32))
    return EventSequences(
        posts,
        types.astype(np.int64),
        shares(types, values),
        gaps,
        starts,
        starts[users + 1],
        new,
        new & good,
        at,
    )


def windows(found: EventSequences) -> NDArray[np.int64]:
    """(w, 3): first place of a window, its end, and the first place that no window before it ended at. A window's
    places are all but a user's last, and each is new in one window."""
    parts = []
    for start, end in zip(found.starts[:-1].tolist(), (found.starts[1:] - 1).tolist(), strict=True):
        if end <= start:
            continue
        ends = np.unique(np.append(np.arange(start + LENGTH, end, STRIDE), end))
        parts.append(np.stack([np.maximum(ends - LENGTH, start), ends, np.append(start, ends[:-1])], axis=1))
    return np.concatenate(parts) if parts else np.empty((0, 3), np.int64)


def last_windows(found: EventSequences, users: NDArray[np.int64]) -> NDArray[np.int64]:
    """(u, 2): first place and end of the newest events of each of `users`; empty for users without events."""
    ends = found.starts[users + 1]
    return np.stack([np.maximum(found.starts[users], ends - LENGTH), ends], axis=1)


def pasts_of(found: EventSequences, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Places (m, t) of the events just before each of `places` (m,), with the user's first place, and which of them are
    there: shorter pasts are filled in front with what is not theirs."""
    starts = found.starts[np.searchsorted(found.starts, places, side="right") - 1]
    return before(starts, places)


def before(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """As pasts_of: the newest LENGTH places at most from each of `starts` (m,) to `ends` (m,), not included."""
    longest = int(min((ends - starts).max(initial=1), LENGTH))
    places = ends[:, None] - np.arange(longest, 0, -1)
    there = places >= starts[:, None]
    return np.where(there, places, np.maximum(ends - 1, 0)[:, None]), there


def filled(windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Places (w, t) of windows that begin with a first place and its end, and which of them are there: shorter ones are
    filled at their end with their first place."""
    places = windows[:, :1] + np.arange((windows[:, 1] - windows[:, 0]).max(initial=0))
    there = places < windows[:, 1:2]
    return np.where(there, places, windows[:, :1]), there
