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

NO_PAGE = -1


class Passed(NamedTuple):
    """posts (b, n): positions in the snapshot. seen (b, n): chance that each was seen against the first of a feed; 0
    where there is none, and the post is of no meaning."""

    posts: NDArray[np.int64]
    seen: NDArray[np.float32]


class PassedOver:
    """Of first meetings at `places` (m,) in the sequences of a part."""

    def __init__(self, part: Interactions, found: EventSequences, places: NDArray[np.int64]) -> None:
        pages, many = part.pages, np.int64(len(part.post_ids))
        self._posts = pages.posts.astype(np.int64)
        self._starts = np.concatenate([[0], np.cumsum(pages.counts)]).astype(np.int64)
        self._of_page = np.full(len(places), NO_PAGE, np.int64)
        self._seen = np.zeros(len(self._posts), np.float32)
        if not len(places) or not len(self._posts):
            return
        page = np.repeat(np.arange(len(pages.at)), pages.counts)
        position = np.arange(len(page)) - self._starts[page] + pages.positions[page]
        users = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))
        met, first = np.unique(users * many + found.posts, return_index=True)
        keys = pages.users[page] * many + self._posts
        pair = np.minimum(np.searchsorted(met, keys), len(met) - 1)
        met_at = np.where(met[pair] == keys, found.at[first[pair]], np.inf)
        over = pages.at[page] + WINDOW <= part.at[-1]
        passed = (self._posts >= 0) & over & (met_at > pages.at[page] + WINDOW)
        self._seen[passed] = examination(position[passed])
        came = (self._posts >= 0) & (pages.at[page] <= met_at) & (met_at <= pages.at[page] + WINDOW)
        newest = np.full(len(found.posts), NO_PAGE, np.int64)
        newest[first[pair[came]]] = page[came]  # in time order, so the last one stays
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
