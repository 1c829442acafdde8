"""Runs the stages of a feed request. A part that fails or is late is skipped and named; a feed always answers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import structlog
from prometheus_client import Histogram

from schemas.visits import MOST_FROZEN

from . import masks
from .catalogue import Catalogue
from .ids import new_id
from .metrics import Metrics
from .paging import Cut, cut, cut_from_list
from .ranked_lists import RankedList, RankedLists
from .retrieval import Retrieval, by_popularity
from .stages import (
    Candidates,
    Decodes,
    Explainer,
    Filter,
    Mask,
    Query,
    QueryHydrator,
    Scorer,
    Scores,
    Selector,
    Slots,
    Source,
    weighed,
)

HYDRATOR_DEADLINE = 0.25
MOST_NAMED = 10
"""Posts of each reason that `explain` names."""

_STAGES = ("query_hydrators", "list", "filters", "sources", "candidates", "scorers", "selector", "page")

_log = structlog.get_logger()


@dataclass
class Slate:
    """The page as it is shown: slots and scores (n,), and of each post the sources that had it, in lists that others
    share.

    explained: of each post, explainer → what it says; empty unless asked for.
    dropped: filter → posts it held back; dropped_posts: ids of the first MOST_NAMED, when they are to be explained.
    degraded: parts that were skipped, and why. ranking (r,): the list that the page is cut from, −1 for posts that are
    not here. next_place, next_below, end: where the next page begins (api.paging.Cut). ranked: what is kept of the list
    for the pages that follow. explored: slot → propensity, as in Candidates. rows: makes, of each post, the score with
    each of `sources`, which few ask for and 40 µs; None where those are not kept. outside: name → (n,), as in
    schemas.impressions.Impression. reactions: of the user, where posts of the page may have any.
    """

    slots: Slots
    scores: Scores
    sources: list[list[str]]
    algorithm_used: str
    total_count: int
    dropped: dict[str, int]
    degraded: list[str]
    model_versions: dict[str, str] = field(default_factory=dict)
    recommendation_id: str = field(default_factory=new_id)
    dropped_posts: dict[str, list[int]] = field(default_factory=dict)
    ranking: Slots = field(default_factory=lambda: np.empty(0, np.int64))
    explained: list[dict[str, Any]] = field(default_factory=list)
    next_place: int = 0
    next_below: int = 0
    end: bool = True
    ranked: RankedList | None = None
    explored: dict[int, float] = field(default_factory=dict)
    rows: Callable[[], list[dict[str, float]]] | None = None
    outside: dict[str, list[float]] = field(default_factory=dict)
    reactions: frozenset[int] = frozenset()


class SideEffect(Protocol):
    """Runs after the answer was sent. close: when no more will come, to finish what is under way."""

    name: str

    async def run(self, query: Query, slate: Slate) -> None: ...

    async def close(self) -> None: ...


class CandidatePipeline:
    """Filters first, then sources and scorers in the order of the lists; what came of it is kept in `lists`, from which
    the next pages of a user without a new event are cut."""

    def __init__(
        self, query_hydrators: Sequence[QueryHydrator], sources: Sequence[Source], filters: Sequence[Filter],
        scorers: Sequence[Scorer], selector: Selector, side_effects: Sequence[SideEffect], metrics: Metrics,
        lists: RankedLists | None = None, explainers: Sequence[Explainer] = (),
    ) -> None:  # fmt: skip
        self.query_hydrators = query_hydrators
        self.sources = sources
        self.filters = filters
        self.scorers = scorers
        self.selector = selector
        self.side_effects = side_effects
        self.metrics = metrics
        self.lists = lists
        self.explainers = explainers
        self._retrieval = Retrieval(sources, self._skipping)
        # To look for methods by a protocol takes 8 µs.
        self._decoding = [each for each in query_hydrators if isinstance(each, Decodes)]
        self._lasting = [each for each in filters if not getattr(each, "of_state", False)]
        self._lasting_beside_rows = [each for each in self._lasting if not getattr(each, "of_rows", False)]
        self._of_rows = [each for each in filters if getattr(each, "of_rows", False)]
        self._others = [each for each in filters if not getattr(each, "of_rows", False)]
        self._by_rows: tuple[tuple[Catalogue, int, int], Mask, dict[str, int]] | None = None
        self._dropped = {each.name: metrics.dropped.labels(each.name) for each in filters}
        self._stages = {stage: metrics.stages.labels(stage) for stage in _STAGES}

    async def run(self, query: Query) -> Slate:
        """The page that the query asks for: from the list that its visit froze, or from a new one."""
        degraded = query.problems.copy()
        await self._read(query, degraded)
        if self.lists is not None and not degraded:
            with self._measured("list"):
                ranked = self.lists.find(query)
                slate = self._from_list(query, ranked, degraded) if ranked is not None else None
            self.lists.count(hit=slate is not None)
            if slate is not None:
                return slate
        self._decode(query, degraded)
        # Nothing waits any more, so the catalogue can't change under the arrays.
        with self._measured("filters"):
            kept, dropped, dropped_posts = self._filter(query, degraded)
        with self._measured("sources"):
            found = self._retrieval.found(query, kept, degraded)
        with self._measured("candidates"):
            candidates = self._retrieval.candidates(query, found)
        scores = np.zeros(len(candidates.slots))
        with self._measured("scorers"):
            for scorer in self.scorers:
                with self._skipping(f"{scorer.name} scorer", degraded):
                    scores = weighed(query, candidates, scorer.name, scores, scorer.score(query, candidates, scores))
        with self._measured("selector"):
            if query.visit is None:
                ranking = self._ranking(query, candidates, self.selector.order(query, candidates, scores), kept)
            else:
                slots = query.catalogue.slots
                ranking = np.array([slots.get(post_id, -1) for post_id in query.visit.posts], np.int64)
        with self._measured("page"):
            ranked = RankedList.of(query, candidates, scores, ranking, int(np.count_nonzero(kept)), not degraded)
            page = cut(query, ranking, kept)
            slate = self._slate(query, ranked, candidates, page, degraded)
            slate.ranking, slate.dropped, slate.dropped_posts = ranking, dropped, dropped_posts
            if self.lists is not None and query.visit is None and not degraded:
                self.lists.keep(query, ranked)
                slate.ranked = ranked
        if query.explain:
            self._explain(query, candidates, slate)
        return slate

    def _explain(self, query: Query, candidates: Candidates, slate: Slate) -> None:
        slate.explained = [{} for _ in slate.sources]
        for explainer in self.explainers:
            with self._skipping(f"{explainer.name} explainer", slate.degraded):
                all_said = explainer.explain(query, candidates, slate.slots)
                for row, said in zip(slate.explained, all_said, strict=True):
                    if said is not None:
                        row[explainer.name] = said

    async def allowed(self, query: Query) -> tuple[Mask, list[str]]:
        """What may be shown to the reader (N,), for lists that rank by themselves, and what was skipped."""
        degraded: list[str] = []
        await self._read(query, degraded)
        self._decode(query, degraded)
        return self._filter(query, degraded)[0], degraded

    async def after(self, query: Query, slate: Slate) -> None:
        """What follows the answer."""
        for side_effect in self.side_effects:
            with self._skipping(f"{side_effect.name} side effect", []):
                await side_effect.run(query, slate)

    async def close(self) -> None:
        """When no more requests will come."""
        for side_effect in self.side_effects:
            await side_effect.close()

    async def _read(self, query: Query, degraded: list[str]) -> None:
        with self._measured("query_hydrators"):
            for hydrator in self.query_hydrators:
                with self._skipping(f"{hydrator.name} hydrator", degraded):
                    if hydrator in self._decoding:
                        await hydrator.read(query)  # it has a deadline of its own (api.reads)
                    else:
                        async with asyncio.timeout(HYDRATOR_DEADLINE):
                            await hydrator.hydrate(query)

    def _decode(self, query: Query, degraded: list[str]) -> None:
        """What was read, once it is needed."""
        for hydrator in self._decoding:
            with self._skipping(f"{hydrator.name} hydrator", degraded):
                hydrator.decode(query)

    def _filter(self, query: Query, degraded: list[str]) -> tuple[Mask, dict[str, int], dict[str, list[int]]]:
        """Which slots of the whole catalogue stay (N,), how many each filter held back, and which, to be explained.

        All posts are asked about, not just candidates: a mask over 100,000 posts takes some 10 µs, no source spends its
        places on posts that fall out, and what stays is known for total_count and for the pages after the candidates.
        """
        catalogue = query.catalogue
        named: dict[str, list[int]] = {}
        key = catalogue, catalogue.size, catalogue.row_revision
        if query.explain or self._by_rows is None or self._by_rows[0] != key:
            kept, dropped, problems = np.ones(catalogue.size, np.bool_), dict[str, int](), list[str]()
            self._hold_back(self._of_rows, query, kept, dropped, named, problems)
            self._by_rows = None if problems else (key, kept.copy(), dropped.copy())
            degraded += problems
        else:
            kept, dropped = self._by_rows[1].copy(), self._by_rows[2].copy()
        self._hold_back(self._others, query, kept, dropped, named, degraded)
        for name, count in dropped.items():
            if count:
                self._dropped[name].inc(count)
        return kept, dropped, named

    def _hold_back(
        self, filters: Sequence[Filter], query: Query, kept: Mask, dropped: dict[str, int],
        named: dict[str, list[int]], degraded: list[str],
    ) -> None:  # fmt: skip
        """Takes from kept (N,) what the filters say, and notes how many posts, and which."""
        everything, left = slice(0, query.catalogue.size), int(np.count_nonzero(kept))
        whole = masks.everything(query, everything)
        for each in filters:
            with self._skipping(f"{each.name} filter", degraded):
                held = each.held(query) if isinstance(each, masks.HoldsFew) else None
                mask = each.keep(query, everything) if held is None else whole
                dropped[each.name] = 0
                if mask is whole and (held is None or not len(held)):
                    continue
                there = kept.copy() if query.explain else kept
                if held is None:
                    kept &= mask
                else:
                    kept[held] = False
                if query.explain and (held_back := np.flatnonzero(there & ~kept)[:MOST_NAMED]).size:
                    named[each.name] = query.catalogue.ids[held_back].tolist()
                before, left = left, int(np.count_nonzero(kept))
                dropped[each.name] = before - left

    def _ranking(self, query: Query, candidates: Candidates, order: Slots, kept: Mask) -> Slots:
        """The first MOST_FROZEN posts (r,): the candidates in their order, and behind them the most popular others."""
        ranking = candidates.slots[order[:MOST_FROZEN]]
        missing = MOST_FROZEN - len(ranking)
        if missing <= 0:
            return ranking
        rest = kept.copy()
        rest[candidates.slots] = False
        popular = self._retrieval.popular(query)
        found = popular[rest[popular]]
        if len(found) < missing:
            found = by_popularity(query, np.flatnonzero(rest))
        return np.concatenate([ranking, found[:missing]])

    def _from_list(self, query: Query, ranked: RankedList, degraded: list[str]) -> Slate | None:
        """A page of a list that was ranked before, each post of it checked by what holds now. None: it is not long
        enough, or a filter fails."""
        query.muted, query.blocked = ranked.muted, ranked.blocked
        ranking, revision = ranked.slots, query.catalogue.row_revision
        shown = whole = masks.everything(query, ranking)
        try:
            for each in self._lasting_beside_rows if ranked.row_revision == revision else self._lasting:
                if (mask := each.keep(query, ranking)) is not whole:
                    shown = shown & mask
        except Exception as error:
            _log.warning("a list is made anew", reason=repr(error))
            return None
        if all_of_it := shown is whole or bool(shown.all()):
            ranked.row_revision = revision
        if all_of_it or query.visit is not None:
            page = cut_from_list(query, ranking, None if all_of_it else shown)
            kept = ranked
        else:  # a new list of what is left, as one that was made now
            there, kept = np.flatnonzero(shown), None
            ranking = ranking[there]
            if (page := cut_from_list(query, ranking, None)) is not None:
                page.places = there[page.places]
        if page is None:
            return None
        slate = self._slate(query, ranked, None, page, degraded)
        slate.ranking, slate.ranked = ranking, kept
        return slate

    def _slate(
        self, query: Query, ranked: RankedList, candidates: Candidates | None, page: Cut, degraded: list[str]
    ) -> Slate:  # fmt: skip
        """The page; what is no candidate is there for its popularity, and ranks below those that are."""
        sources, used = ranked.sources_of(page)
        scored = candidates is not None or ranked.scored(page)
        return Slate(
            slots=page.slots,
            scores=ranked.scores_of(page),
            sources=sources,
            algorithm_used=used if ranked.events else f"cold_start:{used}",
            total_count=ranked.total,
            dropped={},
            degraded=degraded,
            model_versions=ranked.model_versions,
            next_place=page.place,
            next_below=page.below,
            end=page.end,
            reactions=ranked.reactions,
            explored=ranked.explored,
            rows=partial(ranked.rows, query, candidates, page) if scored else None,
            outside=ranked.outside_of(page),
        )

    def _skipping(self, part: str, degraded: list[str]) -> "_Skipping":
        return _Skipping(part, degraded, self.metrics)

    def _measured(self, stage: str) -> "_Measured":
        return _Measured(self._stages[stage])


# Classes, as a feed enters 40 of them: made by contextlib.contextmanager they took .1 ms of it.
class _Skipping:
    """What fails inside is named and left out."""

    __slots__ = ("_degraded", "_metrics", "_part")

    def __init__(self, part: str, degraded: list[str], metrics: Metrics) -> None:
        self._part, self._degraded, self._metrics = part, degraded, metrics

    def __enter__(self) -> None: ...

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        _log.warning("feed part skipped", part=self._part, error=repr(error))
        self._metrics.failures.labels(self._part).inc()
        reason = str(error)
        if isinstance(error, TimeoutError) and not reason:
            reason = f"not done after {HYDRATOR_DEADLINE * 1000:.0f} ms"
        self._degraded.append(f"{self._part}: {reason or type(error).__name__}")
        return True


class _Measured:
    """The time spent inside, unless it fails."""

    __slots__ = ("_histogram", "_started")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram, self._started = histogram, 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self._histogram.observe(time.perf_counter() - self._started)
