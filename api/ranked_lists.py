"""The recommendations cache: the ranked list of a user, until an event of theirs or a change of what ranks it."""

from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

from online_models.decayed_counters import decay_to
from schemas.visits import Visit

from .caches import Cache
from .catalogue import Catalogue
from .metrics import Metrics
from .models import ItemVectors
from .paging import Cut
from .sources import popular
from .stages import EXPLORATION, Candidates, Mask, Query, Scores, Slots

LIST_SECONDS = 30 * 60.0
"""At most. An event of the user, a change of their row, another model or another catalogue ends a list at once."""
MOVED_SECONDS = 5.0
"""A list that is older is made anew when the item side or the learner moved meanwhile: somebody who only looks again
has to see new posts and what is trending, and while events come something moves all the time."""
SHARED_SECONDS = 60.0
"""So long the lists of one ranking share a visit, and a first page that is asked for again writes nothing to Redis."""
SCORED = 40
"""Places of a list whose score with each source is kept, for samples of impressions: two pages."""
MOST_BYTES = 32 << 20
"""12 KB a list: some 2,700 of them."""


@dataclass
class RankedList:
    """short_slots, scores, sources (r,): the ranking, its scores, and as bits the sources that had the post among their
    best, 0 for one that is there for its popularity; 32 bits each, as thousands of lists are kept. of_sources
    (≤ SCORED, S): their scores. outside: name → (≤ SCORED,), as in Candidates, in thousandths; of a post that is no
    candidate what the last of them has. explored: slot → propensity. least: score of what is behind the list. total:
    posts that could be shown. reactions: of the user, where posts of the list may have any. events: of the user.
    model_versions: that ranked it. moved: revision of the catalogue and version of the learner that it knows all of.
    vectors, payloads: of the models and the user when it was made. row_revision: of the catalogue, the last at which
    all of the list could be shown. visit: of its pages, kept at visit_at.
    """

    short_slots: NDArray[np.int32]
    scores: NDArray[np.float32]
    sources: NDArray[np.int32]
    of_sources: NDArray[np.float32]
    outside: dict[str, Scores]
    names: "_Names"
    least: float
    explored: dict[int, float]
    total: int
    events: int
    model_versions: dict[str, str]
    reactions: frozenset[int]
    muted: list[int]
    blocked: list[int]
    catalogue: Catalogue
    moved: tuple[int, int | None]
    vectors: dict[str, ItemVectors]
    payloads: tuple[bytes | None, ...] | None
    made_at: float
    row_revision: int
    visit: Visit | None = None
    visit_at: float = 0.0

    @classmethod
    def of(
        cls, query: Query, candidates: Candidates, scores: Scores, ranking: Slots, total: int, whole: bool
    ) -> "RankedList":
        """whole: no part was skipped."""
        # Whatever the history tells of was met and is filtered; what left it by its length may come again.
        reactions = frozenset(query.state.reactions) if query.state.older_reactions or not whole else frozenset()
        places = np.where(ranking >= 0, candidates.places[ranking], -1)  # −1 for what is no candidate
        least = float(scores.min(initial=0.0)) - 1.0
        first, others = places[:SCORED], places[:SCORED] < 0
        of_sources, outside = np.zeros((len(first), len(candidates.names)), np.float32), {}
        if len(candidates.slots):
            of_sources = _single(candidates.scores[first])
            outside = {name: said[first].astype(np.float64) for name, said in candidates.outside.items()}
        if others.any():
            of_sources[others] = 0.0
            for name, said in outside.items():
                said[others] = candidates.outside[name].min()
        return cls(
            short_slots=ranking.astype(np.int32),
            scores=_single(np.append(scores, least)[places]),  # place −1 is the last
            sources=np.append(_bits(candidates.taken), np.int32(0))[places],
            of_sources=of_sources,
            outside={name: said.round(3) for name, said in outside.items()},
            names=_names(tuple(candidates.names)),
            least=least,
            explored={int(candidates.slots[place]): chance for place, chance in candidates.explored.items()},
            total=total,
            events=query.state.events,
            model_versions=query.model_versions,
            reactions=reactions,
            muted=query.muted,
            blocked=query.blocked,
            catalogue=query.catalogue,
            moved=query.moved,
            vectors=query.vectors,
            payloads=query.payloads,
            made_at=query.now,
            row_revision=query.catalogue.row_revision,
        )  # fmt: skip

    @property
    def slots(self) -> Slots:
        return self.short_slots.astype(np.int64)

    @property
    def size(self) -> int:
        """Bytes, with what Python adds."""
        state = sum(len(payload) for payload in self.payloads or () if payload is not None)
        outside = 360 * len(self.outside)
        return 12 * len(self.short_slots) + self.of_sources.nbytes + outside + state + 2_000

    def serves(self, query: Query) -> bool:
        """Whether nothing changed that a reader would notice."""
        age = query.now - self.made_at
        if (
            self.payloads != query.payloads
            or self.vectors != query.vectors
            or self.catalogue is not query.catalogue
            or (self.moved[1] is None) is not (query.online is None)
            or (query.visit is not None and (self.visit is None or self.visit.id != query.visit.id))
        ):
            return False
        if query.visit is not None or 0 <= age < MOVED_SECONDS:
            return True
        return age >= 0 and self.moved == query.moved

    def shared_visit(self, now: float) -> Visit | None:
        """The visit of this very list, while that is new enough for others of the reader not to have pushed it out."""
        return self.visit if 0 <= now - self.visit_at < SHARED_SECONDS else None

    def scores_of(self, page: Cut) -> Scores:
        """Of posts of a page (n,)."""
        scores = self.scores[page.places].astype(np.float64)
        behind = len(page.slots) - len(page.places)
        return np.append(scores, np.full(behind, self.least)) if behind else scores

    def sources_of(self, page: Cut) -> tuple[list[list[str]], str]:
        """Of posts of a page (n,) the sources that had each, which lists share, and all of them joined. A post that no
        source had is there for its popularity."""
        bits = self._bits_of(page)
        named = self.names.of
        found = [named(each)[1] for each in bits]
        if self.explored:
            for number, slot in enumerate(page.slots.tolist()):
                if slot in self.explored:
                    found[number] = [*found[number], EXPLORATION]
        return found, self.names.joined(reduce(or_, bits, 0), 0 in bits)

    def rows(self, query: Query, candidates: Candidates | None, page: Cut) -> list[dict[str, float]]:
        """Of posts of a page (n,) the score with each source that had it, where that is kept.

        candidates: what the list was made of, None later.
        """
        bits = self._bits_of(page)
        if candidates is not None:
            found = candidates.scores[candidates.places[page.slots]] if len(candidates.slots) else candidates.scores[:0]
            known = _single(found).tolist()  # as the list has them, so that a page stays as it is
        else:
            known = self.of_sources[page.places].tolist()
        popularity = _popularity(query, page.slots) if 0 in bits else []
        rows = []
        for number, (slot, each) in enumerate(zip(page.slots.tolist(), bits, strict=True)):
            places, names = self.names.of(each)
            if not each:
                rows.append({popular.Popular.name: popularity[number]})
                continue
            of_post = known[number]
            row = {name: of_post[place] for place, name in zip(places, names, strict=True)}
            if slot in self.explored:
                row[EXPLORATION] = self.explored[slot]
            rows.append(row)
        return rows

    def outside_of(self, page: Cut) -> dict[str, list[float]]:
        """Of posts of a page, name → (n,), in thousandths; empty where that is not kept of all of them."""
        return {name: said[page.places].tolist() for name, said in self.outside.items()} if self.scored(page) else {}

    def scored(self, page: Cut) -> bool:
        """Whether the scores with each source are kept of all posts of a page, the last of which is the furthest."""
        places = page.places
        return len(places) == len(page.slots) and (not len(places) or bool(places[-1] < len(self.of_sources)))

    def _bits_of(self, page: Cut) -> list[int]:
        found: list[int] = self.sources[page.places].tolist()
        return found + [0] * (len(page.slots) - len(found))


class _Names:
    """Names of sources, by bits: 0.1 µs, as thousands of lists share one of these."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.of = lru_cache(8_192)(partial(_named, names))
        self.joined = lru_cache(8_192)(partial(_joined, names))


@lru_cache(16)
def _names(names: tuple[str, ...]) -> _Names:
    return _Names(names)


def _named(names: tuple[str, ...], bits: int) -> tuple[list[int], list[str]]:
    """Places and names; of a post that none had the name that stands for its popularity."""
    places = [place for place in range(len(names)) if bits >> place & 1]
    return places, [names[place] for place in places] or [popular.Popular.name]


def _joined(names: tuple[str, ...], bits: int, with_popular: bool) -> str:
    return "+".join(
        name for place, name in enumerate(names) if bits >> place & 1 or (with_popular and name == popular.Popular.name)
    )


class RankedLists:
    """Lists by reader, by what the request asked for, and by the size of the page, which exploration depends on."""

    def __init__(self, metrics: Metrics, most_bytes: int = MOST_BYTES) -> None:
        self._cache: Cache[RankedList] = Cache("recommendations", LIST_SECONDS, most_bytes, metrics)

    def find(self, query: Query) -> RankedList | None:
        """A list that still holds. Not for a request that wants to know why: an answer to that is made anew."""
        if query.explain or query.payloads is None:
            return None
        found = self._cache.get(_key(query))
        return found if found is not None and found.serves(query) else None

    def keep(self, query: Query, ranked: RankedList) -> None:
        if query.payloads is not None:
            self._cache.put(_key(query), ranked, ranked.size)

    def count(self, hit: bool) -> None:
        self._cache.count(hit)


def _key(query: Query) -> tuple[str, str | None, bytes, int, str]:
    return query.username, query.session_id, query.asked, query.page_size, query.variant


def _bits(taken: Mask) -> NDArray[np.int32]:
    """(n,): the columns of taken (n, ≤ 31) as a number each, the first of them the lowest bit."""
    found = np.zeros((len(taken), 32), np.bool_)
    found[:, : taken.shape[1]] = taken
    # In one row: row by row it takes three times as long.
    return np.packbits(found.ravel(), bitorder="little").view("<i4").astype(np.int32)


def _single(scores: Scores) -> NDArray[np.float32]:
    """In single precision; what is beyond its range, as sums of decades ago are, becomes the largest that there is."""
    return scores.clip(-_LARGEST, _LARGEST).astype(np.float32)


_LARGEST = float(np.finfo(np.float32).max)


def _popularity(query: Query, slots: Slots) -> list[float]:
    catalogue = query.catalogue
    decayed = decay_to(catalogue.decayed[slots], catalogue.at[slots], query.now)
    values: list[float] = decayed[:, popular.WINDOW].tolist()
    return values
