"""Pages that users were shown, kept until what follows can be told: which of their posts were taken, from which list.

A positive on a post of a page, within WINDOW of event time, is a click on it. The user and the post tell that by
themselves, so interactions need not name a recommendation, and none of their cost changes. No page is ever judged to be
done: each click is a term of its own in what is learnt from its list, so that one that comes late is late and no more.
"""

from array import array
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .examination import click_weight

WINDOW = 1_800.0
"""Seconds from the page to the positive: the time that 20 videos of a minute take, and half of it again."""
SKEW = 60.0
"""By which a client's clock may be behind that of the API."""
MOST_PAGES = 50_000
"""Without features: 20 MB with 20 posts each. Those of the longest ago go first."""
MOST_FEATURES = 160_000
"""Posts whose features are kept, in half precision: 29 MB."""
NO_SOURCES: dict[str, NDArray[np.float16]] = {}


@dataclass(slots=True)
class Page:
    """at: when it was served. position: of its first post. posts: in order. sources: name → places in the page.

    features (k, width) of the posts at places (k,) of the page, float16; None when they are not kept. outside: name →
    (k,), what sources say that the learner does not have (online_models.outside_sources).
    """

    at: float
    position: int
    posts: "array[int]"
    sources: dict[str, list[int]]
    places: NDArray[np.int64] | None = None
    features: NDArray[np.float16] | None = None
    outside: dict[str, NDArray[np.float16]] = field(default_factory=dict)
    taken: list[int] = field(default_factory=list)


class Click(NamedTuple):
    """page, place in it, and what the blend learns from it: features (n, width) of what was there to take, `chosen`
    among them; None when it is nothing. weight: online_models.examination.click_weight. outside: name → (n,)."""

    page: Page
    place: int
    features: NDArray[np.float32] | None
    chosen: int
    weight: float
    outside: dict[str, NDArray[np.float16]]


class ShownLists:
    """The newest pages of all users, by user."""

    def __init__(self) -> None:
        self._pages: OrderedDict[tuple[int, float], Page] = OrderedDict()
        self._of_user: dict[int, list[Page]] = {}
        self._featured: OrderedDict[tuple[int, float], None] = OrderedDict()
        self._kept = 0

    def __len__(self) -> int:
        return len(self._pages)

    def open(self, user: int, page: Page) -> bool:
        """Keeps a page; False for one that is there already: it was told twice."""
        key = user, page.at
        if key in self._pages:
            return False
        while self._pages and (len(self._pages) >= MOST_PAGES or next(iter(self._pages))[1] < page.at - WINDOW):
            self._close(*next(iter(self._pages)))
        self._pages[key] = page
        self._of_user.setdefault(user, []).append(page)
        return True

    def describe(
        self, user: int, page: Page, places: NDArray[np.int64], features: NDArray[np.float32],
        outside: dict[str, NDArray[np.float16]] = NO_SOURCES,
    ) -> None:  # fmt: skip
        """Keeps the features (k, width), and outside: name → (k,), that the posts at places (k,) of an open page had
        when it was served."""
        while self._featured and self._kept + len(places) > MOST_FEATURES:
            self._forget(next(iter(self._featured)))
        page.places, page.features, page.outside = places, features.astype(np.float16), outside
        self._featured[user, page.at] = None
        self._kept += len(places)

    def take(self, user: int, post: int, at: float) -> Click | None:
        """A positive of a user on a post at event time `at`: the newest page that showed it before, unless it was taken
        from there already; None when there is none."""
        for page in reversed(self._of_user.get(user, ())):
            if not page.at - SKEW <= at <= page.at + WINDOW or post not in page.posts:
                continue
            place = page.posts.index(post)
            if place in page.taken:
                return None
            weight = click_weight(page.position + place)
            click = self._left(page, place, weight)
            page.taken.append(place)
            return click
        return None

    @staticmethod
    def _left(page: Page, place: int, weight: float) -> Click:
        """What the user chose from: the page without what they had taken of it before (Plackett and Luce)."""
        if page.features is None or page.places is None or place not in page.places:
            return Click(page, place, None, -1, weight, {})
        left = ~np.isin(page.places, page.taken)
        chosen = int(np.flatnonzero(page.places[left] == place)[0])
        outside = {name: column[left] for name, column in page.outside.items()}
        return Click(page, place, page.features[left].astype(np.float32), chosen, weight, outside)

    def _close(self, user: int, at: float) -> None:
        self._forget((user, at))
        page = self._pages.pop((user, at))
        pages = self._of_user[user]
        pages.remove(page) if len(pages) > 1 else self._of_user.pop(user)

    def _forget(self, key: tuple[int, float]) -> None:
        if key in self._featured:
            del self._featured[key]
            page = self._pages[key]
            self._kept -= len(page.places) if page.places is not None else 0
            page.places = page.features = None
            page.outside = {}
