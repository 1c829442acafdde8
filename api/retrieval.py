"""What all sources say of the posts that any of them puts first: candidates, and what they are ranked by."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from online_models import candidates as first
from online_models.features import OTHERS
from online_models.post_logs import NAMES
from schemas.visits import MOST_FROZEN

from .catalogue import Catalogue
from .retrieved import OfAll, Retrieved
from .sources.popular import WINDOW
from .stages import Candidates, Mask, Query, Scores, Slots, Source

STANDING_SECONDS = 1.0
"""What does not depend on the user is worked out so often, by the first feed that needs it."""
FIRSTS = 1_024
"""Posts whose order is kept of such a source. Where filters leave fewer than DEPTH of them, all are looked at."""

MOST_POPULAR = 4 * MOST_FROZEN
"""Enough that a list is filled from them where filters leave a quarter of what is popular."""

Skipping = Callable[[str, list[str]], AbstractContextManager[None]]
"""Names a part that fails in a list, and goes on."""


@dataclass
class _Standing:
    """found: by place of the source, what those that do not depend on the reader found. popularity (3, N): decayed sums
    at that time. logs (N, 6): online_models.post_logs then, zeros without a learner. popular: the most popular posts
    then, at most MOST_POPULAR, best first. moved: what the item side and the learner were then."""

    catalogue: Catalogue
    at: float
    size: int
    moved: tuple[int, int | None]
    found: dict[int, Retrieved]
    popularity: Scores
    logs: NDArray[np.float32]
    popular: Slots
    degraded: list[str]

    def reach(self, size: int) -> None:
        """Knows of posts that came since, and that nothing speaks for them yet."""
        self.size = size
        self.logs = np.concatenate([self.logs, np.zeros((size - len(self.logs), len(NAMES)), np.float32)])
        for result in self.found.values():
            if isinstance(result, OfAll):
                result.reach(size)


class Found:
    """of: what each source found, None for one that failed. best (S, DEPTH): slots of its best posts, of which the
    first counts (S,) mean something."""

    def __init__(self, sources: int) -> None:
        self.of: list[Retrieved | None] = [None] * sources
        self.best = np.empty((sources, first.DEPTH), np.int32)
        self.counts = np.zeros(sources, np.int32)

    def take(self, place: int, result: Retrieved, kept: Mask) -> None:
        self.of[place], self.counts[place] = result, result.best(kept, self.best[place])


class Retrieval:
    """Asks sources, one after the other: none waits for anything, and a task and a timer for each took 1 ms."""

    def __init__(self, sources: Sequence[Source], skipping: Skipping) -> None:
        self.sources = sources
        self._skipping = skipping
        self._names = tuple(source.name for source in sources)
        self._personal = np.array([source.personal for source in sources], np.bool_)
        self._asked = [
            place for place, source in enumerate(sources) if source.personal or getattr(source, "of_reader", False)
        ]
        self._parts = [f"{source.name} source" for source in sources]
        self._standing: dict[bool, _Standing] = {}

    def found(self, query: Query, kept: Mask, degraded: list[str]) -> Found:
        """The best of each source among those that stay."""
        standing = self._refreshed(query, degraded)
        query.stand_on(standing.popularity, standing.logs, standing.moved)
        found = Found(len(self.sources))
        for place in self._asked:
            with self._skipping(self._parts[place], degraded):
                found.take(place, self.sources[place].retrieve(query), kept)
        for place, result in standing.found.items():
            found.take(place, result, kept)
        return found

    def candidates(self, query: Query, found: Found) -> Candidates:
        """Their union, and what each source says of each of them (online_models.candidates)."""
        chosen, places, ranks = first.union(found.best, found.counts, query.catalogue.size)
        slots = chosen.astype(np.int64)  # numpy makes as much of any other kind, at each look
        scores = np.zeros((len(self.sources), len(slots)))
        logits = np.zeros(len(self.sources), np.bool_)
        for place, result in enumerate(found.of):
            if result is not None and found.counts[place]:
                logits[place] = result.logits
                result.write(slots, places, scores[place])
        return Candidates(
            slots=slots,
            places=places,
            names=self._names,
            personal=self._personal,
            scores=scores.T,
            taken=ranks < first.ABSENT,
            features=first.features(scores, logits, np.arange(len(slots), dtype=np.int32), ranks, OTHERS),
        )

    def popular(self, query: Query) -> Slots:
        """The most popular posts of all, best first, as of the last second; for a request that has its candidates."""
        return self._refreshed(query, []).popular

    def _refreshed(self, query: Query, degraded: list[str]) -> _Standing:
        known = query.learnt is not None
        standing = self._standing.get(known)
        if (
            standing is None
            or standing.catalogue is not query.catalogue
            or not standing.at <= query.now < standing.at + STANDING_SECONDS
        ):
            standing = self._standing[known] = self._anew(query)
        elif standing.size < query.catalogue.size:
            standing.reach(query.catalogue.size)
        degraded += standing.degraded
        return standing

    def _anew(self, query: Query) -> _Standing:
        catalogue, size = query.catalogue, query.catalogue.size
        popularity = query.popularity()
        popular = np.arange(size)
        if size > MOST_POPULAR:
            popular = np.argpartition(-popularity[WINDOW], MOST_POPULAR - 1)[:MOST_POPULAR]
        standing = _Standing(
            catalogue, query.now, size, query.moved, {}, popularity, query.logs(), by_popularity(query, popular), [],
        )  # fmt: skip
        for place, source in enumerate(self.sources):
            if place not in self._asked:
                with self._skipping(self._parts[place], standing.degraded):
                    standing.found[place] = _in_order(source.retrieve(query))
        return standing


def by_popularity(query: Query, slots: Slots) -> Slots:
    """`slots` (n,), the most popular first, equals by id."""
    return slots[np.lexsort((query.catalogue.ids[slots], -query.decayed(WINDOW)[slots]))]


def _in_order(result: Retrieved) -> Retrieved:
    """With the order of the best posts, where there is a score of all: equals by slot."""
    if not isinstance(result, OfAll) or result.logits:
        return result
    row = result.row
    slots = np.flatnonzero(row > 0)
    if len(slots) > FIRSTS:
        least = np.partition(row[slots], len(slots) - FIRSTS)[len(slots) - FIRSTS]
        slots = slots[row[slots] >= least]
    firsts = np.full(FIRSTS, -1, np.int32)
    order = slots[np.argsort(-row[slots], kind="stable")][:FIRSTS]
    firsts[: len(order)] = order
    return OfAll(row, firsts=firsts)
