"""What users were shown beside a post that they came to, and passed over.

A page belongs to the meeting of a user and a post when it showed the post to the user within WINDOW before: the newest
such, as in online_models.shown_lists, but never one that was served after the meeting, as nothing of it was known then.
Passed over is what the user had not met until WINDOW after the page; that can only be told of pages so long ago. A post
low on a page was seen by few (online_models.examination), and says less.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.examination import examination
from online_models.shown_lists import WINDOW

from .dataset import Interactions
from .event_sequences import EventSequences
from .shown_pages import Pages

NO_PAGE = -1
AT_ONCE = 100_000
"""Pages: with 20 posts each, 100 MB are worked with."""


class Passed(NamedTuple):
    """posts (b, n): positions in the snapshot. seen (b, n): chance that each was seen against the first of a feed; 0
    where there is none, and the post is of no meaning."""

    posts: NDArray[np.int64]
    seen: NDArray[np.float32]


class PassedOver:
    """Of first meetings at `places` (m,) in the sequences of a part."""

    def __init__(self, part: Interactions, found: EventSequences, places: NDArray[np.int64]) -> None:
        pages, many = part.pages, np.int64(len(part.post_ids))
        self._posts = pages.posts
        self._starts = np.concatenate([[0], np.cumsum(pages.counts)]).astype(np.int64)
        self._seen = np.zeros(len(self._posts), np.float32)
        newest = np.full(len(found.posts), NO_PAGE, np.int64)
        if len(found.posts) and len(self._posts):
            met = _first_meetings(found, many)
            for start in range(0, len(pages.at), AT_ONCE):
                some = pages.part(start, start + AT_ONCE)
                seen, places_of, of_page = _looked_at(some, found.at, met, many, float(part.at[-1]))
                self._seen[self._starts[start] :][: len(seen)] = seen
                newest[places_of] = of_page + start  # in time order, so the last one stays
        self._of_page = newest[places]

    def beside(self, meetings: NDArray[np.int64], most: int, draw: np.random.Generator) -> Passed | None:
        """Of meetings (b,), numbers below m: up to `most` of each, drawn from its page. None when none has any; then
        nothing is drawn."""
        pages = self._of_page[meetings]
        some = np.flatnonzero(pages != NO_PAGE)
        if not len(some):
            return None
        lengths = self._starts[pages[some] + 1] - self._starts[pages[some]]
        there = np.arange(lengths.max()) < lengths[:, None]
        shown = np.where(there, self._starts[pages[some], None] + np.arange(lengths.max()), 0)
        seen = np.where(there, self._seen[shown], np.float32(0.0))
        if not seen.any():
            return None
        order = np.argsort(np.where(seen > 0.0, draw.random(seen.shape), 2.0), axis=1)[:, :most]
        shape = len(pages), order.shape[1]
        found = Passed(np.zeros(shape, np.int64), np.zeros(shape, np.float32))
        found.posts[some] = np.take_along_axis(self._posts[shown], order, axis=1)
        found.seen[some] = np.take_along_axis(seen, order, axis=1)
        return found


class _Met(NamedTuple):
    """keys (u,): user · posts of the snapshot + post, ascending. first (u,): place of their first event."""

    keys: NDArray[np.int64]
    first: NDArray[np.int64]


def _first_meetings(found: EventSequences, many: np.int64) -> _Met:
    users = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))
    return _Met(*np.unique(users * many + found.posts, return_index=True))


def _looked_at(
    pages: Pages, at: NDArray[np.float64], met: _Met, many: np.int64, end: float
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """As Passed.seen of the posts of pages (m,), and places (c,) of first meetings that came from a page, with its
    number (c,). at (n,): of events. end: of the part."""
    page = np.repeat(np.arange(len(pages.at)), pages.counts)
    keys = pages.users[page] * many + pages.posts
    pair = np.minimum(np.searchsorted(met.keys, keys), len(met.keys) - 1)
    met_at = np.where(met.keys[pair] == keys, at[met.first[pair]], np.inf)
    served, known = pages.at[page], pages.posts >= 0
    passed = known & (served + WINDOW <= end) & (met_at > served + WINDOW)
    starts = np.cumsum(pages.counts) - pages.counts
    position = np.arange(len(page)) + (pages.positions.astype(np.int64) - starts)[page]
    came = known & (served <= met_at) & (met_at <= served + WINDOW)
    return np.where(passed, examination(position), 0.0).astype(np.float32), met.first[pair[came]], page[came]
