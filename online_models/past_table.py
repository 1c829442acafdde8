"""The last posts of each user by slot, for models whose slots differ from one start to the next."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .aversion import MOST
from .compiled import compiled

LENGTH = 200
"""What a history holds (schemas.user_state). With 50, factor models took posts that users had met long ago for
negatives: −.004 of recall@10 for SequenceFactors, −.003 for the blend on ML-100K."""


class PastTable:
    """posts (users, LENGTH): slots of distinct posts, newest first, of which lengths (users,) count. glad, likewise:
    whether the user was glad of the post, when they last met it; hours: of the day, UTC, when that was, −1 unknown.
    disliked (users, MOST): slots of posts that the user
    turned against, newest first, −1 for none.
    """

    def __init__(self, users: int) -> None:
        self.posts, self.lengths = np.zeros((users, LENGTH), np.int32), np.zeros(users, np.int32)
        self.glad, self.hours = np.zeros((users, LENGTH), np.bool_), np.full((users, LENGTH), -1, np.int8)
        self.disliked = np.full((users, MOST), -1, np.int32)

    def of(self, user: int) -> NDArray[np.int32]:
        """A view: it moves when the user acts."""
        return np.asarray(self.posts[user, : self.lengths[user]])

    def hours_of(self, user: int) -> NDArray[np.int8]:
        """When they met each of those in `of`."""
        return np.asarray(self.hours[user, : self.lengths[user]])

    def glad_of(self, user: int) -> NDArray[np.int32]:
        """Those of them that the user was glad of; all when it was none."""
        past, glad = self.of(user), self.glad[user, : self.lengths[user]]
        return past[glad] if glad.any() else past

    def disliked_of(self, user: int) -> NDArray[np.int32]:
        """What they turned against, newest first."""
        disliked = self.disliked[user]
        return np.asarray(disliked[disliked >= 0])

    def start(self, user: int, posts: NDArray[np.int32]) -> None:
        """A user gets this slot, with a past, newest first, distinct, of which no more is known."""
        self.disliked[user] = -1
        self.lengths[user] = count = min(len(posts), LENGTH)
        self.posts[user, :count], self.glad[user, :count], self.hours[user, :count] = posts[:count], False, -1

    def add(self, user: int, post: int, glad: bool, hour: int) -> None:
        """The user came to a post now."""
        self.lengths[user] = _to_front(
            self.posts[user], self.glad[user], self.hours[user], int(self.lengths[user]), post, glad, hour
        )

    def drop(self, user: int, post: int) -> None:
        """A post is no reason for anything any more."""
        length = self.lengths[user]
        kept = self.of(user) != post
        self.lengths[user] = count = np.count_nonzero(kept)
        for column in (self.posts, self.glad, self.hours):
            column[user, :count] = column[user, :length][kept]

    def turn_against(self, user: int, post: int) -> None:
        """The user does not want the like of a post."""
        others = self.disliked_of(user)
        others = others[others != post][: MOST - 1]
        self.disliked[user] = -1
        self.disliked[user, : 1 + len(others)] = [post, *others]

    def make_up(self, user: int, post: int) -> None:
        """The user took that back."""
        others = self.disliked_of(user)
        others = others[others != post]
        self.disliked[user] = -1
        self.disliked[user, : len(others)] = others

    def forget(self, post: int) -> None:
        """The slot of a post goes to another."""
        self.disliked[self.disliked == post] = -1
        for user in np.flatnonzero((self.posts == post).any(axis=1)).tolist():
            self.drop(user, post)

    def state(self, size: int) -> dict[str, NDArray[Any]]:
        return {
            "posts": self.posts[:size].copy(),
            "lengths": self.lengths[:size].copy(),
            "glad": self.glad[:size].copy(),
            "hours": self.hours[:size].copy(),
            "disliked": self.disliked[:size].copy(),
        }

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        for name in ("posts", "lengths", "glad", "hours", "disliked"):
            getattr(self, name)[: len(state[name])] = state[name]


@compiled
def _to_front(posts: Any, glads: Any, hours: Any, length: Any, post: Any, glad: Any, hour: Any) -> int:
    at = 0
    while at < length and posts[at] != post:
        at += 1
    if at == len(posts):
        at -= 1
    elif at == length:
        length += 1
    while at > 0:
        posts[at], glads[at], hours[at] = posts[at - 1], glads[at - 1], hours[at - 1]
        at -= 1
    posts[0], glads[0], hours[0] = post, glad, hour
    return int(length)
