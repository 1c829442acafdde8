"""What all sources say of all posts, one row a source, and the candidates that come of it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from online_models import candidates as best
from schemas.visits import MOST_FROZEN

from .catalogue import Catalogue
from .sources.popular import WINDOW
from .stages import Candidates, Mask, Query, Retrieved, Scores, Slots, Source

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
    """Rows of sources (S, ≥ N) in single precision, in which a request overwrites the personal ones; scale (S,): the
    best score of each row, 0 for a source that offers nothing. logits (S,). firsts (S, FIRSTS): as in
    online_models.candidates.gather. popularity (3, N): decayed sums at that time. popular: the most popular posts then,
    at most MOST_POPULAR, best first. moved: what the item side and the learner were then."""

    catalogue: Catalogue
    at: float
    moved: tuple[int, int | None]
    rows: NDArray[np.float32]
    scale: Scores
    logits: Mask
    firsts: NDArray[np.int32]
    popularity: Scores
    popular: Slots
    degraded: list[str]


class Retrieval:
    """Asks sources, one after the other: none waits for anything, and a task and a timer for each took 1 ms."""

    def __init__(self, sources: Sequence[Source], skipping: Skipping) -> None:
        self.sources = sources
        self._skipping = skipping
        self._names = [source.name for source in sources]
        self._personal = np.array([source.personal for source in sources], np.bool_)
        self._standing: dict[bool, _Standing] = {}

    def found(self, query: Query, degraded: list[str]) -> dict[int, Retrieved]:
        """By place of the source, what those found that depend on the reader; not yet in rows."""
        standing = self._refreshed(query, degraded)
        query.stand_on(standing.popularity, standing.moved)
        found: dict[int, Retrieved] = {}
        for place, source in enumerate(self.sources):
            if source.personal or standing.scale[place] < 0:
                with self._skipping(f"{source.name} source", degraded):
                    found[place] = source.retrieve(query)
        return found

    def candidates(self, query: Query, kept: Mask, found: dict[int, Retrieved]) -> Candidates:
        """The union of the best of each source among those that stay (online_models.candidates)."""
        standing, size = self._refreshed(query, []), query.catalogue.size
        rows, scale, logits = standing.rows, standing.scale.copy(), standing.logits.copy()
        if rows.shape[1] < size:
            standing.rows = rows = np.concatenate([rows, np.zeros((len(rows), size), np.float32)], axis=1)
        for place in np.flatnonzero(self._personal | (scale < 0)).tolist():
            result = found.get(place)
            scale[place] = 0.0
            if result is not None:
                scale[place], logits[place] = result.write(rows[place, :size]), result.logits
        slots, places, ranks, features = best.gather(rows, logits, kept, scale > 0, standing.firsts)
        scores = np.zeros((len(slots), len(rows)))
        np.multiply(rows[:, slots].T, scale, out=scores, where=scale > 0)
        return Candidates(
            slots=slots.astype(np.int64),
            places=places,
            names=self._names,
            personal=self._personal,
            scores=scores,
            taken=ranks < best.ABSENT,
            features=features,
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
        degraded += standing.degraded
        return standing

    def _anew(self, query: Query) -> _Standing:
        catalogue, size, count = query.catalogue, query.catalogue.size, len(self.sources)
        popularity = query.popularity()
        popular = np.arange(size)
        if size > MOST_POPULAR:
            popular = np.argpartition(-popularity[WINDOW], MOST_POPULAR - 1)[:MOST_POPULAR]
        standing = _Standing(
            catalogue, query.now, query.moved, np.zeros((count, len(catalogue.ids)), np.float32), np.zeros(count),
            np.zeros(count, np.bool_), np.full((count, min(FIRSTS, max(size, 1))), -1, np.int32),
            popularity, by_popularity(query, popular), [],
        )  # fmt: skip
        for place, source in enumerate(self.sources):
            if source.personal:
                continue
            if getattr(source, "of_reader", False):
                standing.scale[place] = -1.0  # asked for each feed
                continue
            with self._skipping(f"{source.name} source", standing.degraded):
                result = source.retrieve(query)
                row = standing.rows[place, :size]
                standing.scale[place] = result.write(row)
                standing.logits[place] = result.logits
                if not result.logits:
                    first = _first(row, standing.firsts.shape[1])
                    standing.firsts[place, : len(first)] = first
        return standing


def by_popularity(query: Query, slots: Slots) -> Slots:
    """`slots` (n,), the most popular first, equals by id."""
    return slots[np.lexsort((query.catalogue.ids[slots], -query.decayed(WINDOW)[slots]))]


def _first(row: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """The best slots with any evidence, at most so many, best first; equals by slot."""
    slots = np.flatnonzero(row > 0)
    if len(slots) > most:
        least = np.partition(row[slots], len(slots) - most)[len(slots) - most]
        slots = slots[row[slots] >= least]
    return slots[np.argsort(-row[slots], kind="stable")][:most]
