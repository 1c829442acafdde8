"""Pages that users were shown, as the record has them (topic `impressions`): what they saw and could have taken.

They come beside the interactions of a snapshot, and are cut in time with them.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PAGES = """
SELECT username, extract(epoch FROM served_at)::float8, position, posts
FROM impressions WHERE username <> '' AND served_at >= to_timestamp($1)
ORDER BY served_at DESC, recommendation_id DESC
"""
"""Newest first: so reading can stop once there are enough. Guests have no history that a page could be held against."""
SHOWN_AN_EVENT = 3
LEAST_SHOWN = 2_000_000
"""Posts of pages that are kept, at most, for each interaction that is: 24 bytes while they come, as those take; and how
many whatever there is of those: 16 MB."""


class ShownPage(NamedTuple):
    """at: when it was served, seconds since 1970. position: of its first post in the feed."""

    username: str
    at: float
    position: int
    posts: list[int]


class Pages(NamedTuple):
    """k pages in time order, of m posts together.

    users (k,). at (k,): seconds since 1970. positions (k,): of the first post in the feed. counts (k,): of posts.
    posts (m,): positions in the snapshot, page after page; −1 for a post that it does not have.
    """

    users: NDArray[np.int32]
    at: NDArray[np.float64]
    positions: NDArray[np.int32]
    counts: NDArray[np.int32]
    posts: NDArray[np.int32]

    def until(self, at: float) -> "Pages":
        """Those that were served then or before."""
        return self.part(0, int(np.searchsorted(self.at, at, side="right")))

    def part(self, start: int, stop: int) -> "Pages":
        """Pages `start` to `stop` (not included)."""
        first = int(self.counts[:start].sum())
        last = first + int(self.counts[start:stop].sum())
        some = slice(start, stop)
        return Pages(
            self.users[some], self.at[some], self.positions[some], self.counts[some], self.posts[first:last]
        )  # fmt: skip


NO_PAGES = Pages(
    np.empty(0, np.int32), np.empty(0), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int32)
)


class PageColumns:
    """Gathers pages, newest first, of users who have a number, until there are enough beside so many interactions."""

    def __init__(self, users: Mapping[str, int], events: int) -> None:
        self._numbers, self._most = users, max(SHOWN_AN_EVENT * events, LEAST_SHOWN)
        self._columns = array("i"), array("d"), array("i"), array("i")
        self._posts = array("q")

    @property
    def full(self) -> bool:
        return len(self._posts) >= self._most

    def extend(self, pages: Iterable[ShownPage]) -> None:
        users, times, positions, counts = self._columns
        for page in pages:
            if (user := self._numbers.get(page.username)) is None or not page.posts:
                continue
            if self.full:
                return
            users.append(user)
            times.append(page.at)
            positions.append(page.position)
            counts.append(len(page.posts))
            self._posts.extend(reversed(page.posts))

    def pages(self, post_ids: NDArray[np.int64], until: float) -> Pages:
        """Those that were served until then. post_ids (p,): of the snapshot, ascending."""
        shown = np.array(self._posts, np.int64)[::-1]
        places = np.minimum(np.searchsorted(post_ids, shown), len(post_ids) - 1)
        posts = np.where(post_ids[places] == shown, places, -1) if len(post_ids) else np.full(len(shown), -1)
        users, at, positions, counts = (np.array(column)[::-1].copy() for column in self._columns)
        return Pages(users, at, positions, counts, posts.astype(np.int32)).until(until)
