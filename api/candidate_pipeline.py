"""Runs the stages of a feed request. A part that fails or is late is skipped and named; a feed always answers."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import structlog

from .metrics import Metrics
from .scorers.blend import DEPTH
from .sources import popular
from .stages import (
    ABSENT,
    Candidates,
    Filter,
    Mask,
    Query,
    QueryHydrator,
    Retrieved,
    Scorer,
    Scores,
    Selector,
    Slots,
    Source,
)  # fmt: skip

HYDRATOR_DEADLINE = 0.25
SOURCE_DEADLINE = 0.05

T = TypeVar("T")

_log = structlog.get_logger()


@dataclass
class Slate:
    """The page as it is shown: slots and scores (n,), and of each post the sources that had it, with their scores.

    dropped: filter → posts it held back. degraded: parts that were skipped, and why.
    """

    slots: Slots
    scores: Scores
    sources: list[dict[str, float]]
    algorithm_used: str
    total_count: int
    dropped: dict[str, int]
    degraded: list[str]
    model_versions: dict[str, str] = field(default_factory=dict)
    recommendation_id: str = field(default_factory=lambda: uuid.uuid4().hex)


class SideEffect(Protocol):
    """Runs after the answer was sent."""

    name: str

    async def run(self, query: Query, slate: Slate) -> None: ...


@dataclass
class CandidatePipeline:
    """Hydrators and sources run side by side; filters and scorers one after the other, in the order of the lists."""

    query_hydrators: list[QueryHydrator]
    sources: list[Source]
    filters: list[Filter]
    scorers: list[Scorer]
    selector: Selector
    side_effects: list[SideEffect]
    metrics: Metrics

    async def run(self, query: Query) -> Slate:
        """The page that the query asks for."""
        degraded: list[str] = []
        with self._measured("query_hydrators"):
            await asyncio.gather(
                *(
                    self._guarded(f"{hydrator.name} hydrator", hydrator.hydrate(query), HYDRATOR_DEADLINE, degraded)
                    for hydrator in self.query_hydrators
                )
            )
        with self._measured("sources"):
            retrieved = await asyncio.gather(
                *(
                    self._guarded(f"{source.name} source", source.retrieve(query), SOURCE_DEADLINE, degraded)
                    for source in self.sources
                )
            )
        # From here on nothing waits, so the catalogue can't change under the arrays.
        with self._measured("filters"):
            kept, dropped = self._filter(query, degraded)
        candidates = self._candidates(kept, retrieved)
        scores = np.zeros(len(candidates.slots))
        with self._measured("scorers"):
            for scorer in self.scorers:
                with self._skipping(f"{scorer.name} scorer", degraded):
                    scores = scorer.score(query, candidates, scores)
        with self._measured("selector"):
            order = self.selector.order(query, candidates, scores)
        return self._slate(query, candidates, scores, order, kept, dropped, degraded)

    async def after(self, query: Query, slate: Slate) -> None:
        """What follows the answer."""
        for side_effect in self.side_effects:
            with self._skipping(f"{side_effect.name} side effect", []):
                await side_effect.run(query, slate)

    def _filter(self, query: Query, degraded: list[str]) -> tuple[Mask, dict[str, int]]:
        """Which slots of the whole catalogue stay (N,), and how many posts each filter held back.

        All posts are asked about, not just candidates: a mask over 100,000 posts takes 50 µs, no source spends its
        places on posts that fall out, and what stays is known for total_count and for the pages after the candidates.
        """
        slots = np.arange(query.catalogue.size)
        dropped = {}
        for each in self.filters:
            with self._skipping(f"{each.name} filter", degraded):
                left = slots[each.keep(query, slots)]
                dropped[each.name] = len(slots) - len(left)
                self.metrics.dropped.labels(each.name).inc(dropped[each.name])
                slots = left
        kept = np.zeros(query.catalogue.size, np.bool_)
        kept[slots] = True
        return kept, dropped

    def _candidates(self, kept: Mask, retrieved: list[Retrieved | None]) -> Candidates:
        """The union of the best DEPTH of each source among those that stay."""
        best = []
        for found in retrieved:
            slots, scores = (found.slots, found.scores) if found else (np.empty(0, np.int64), np.empty(0))
            stays = kept[slots]
            slots, scores = slots[stays], scores[stays]
            if len(slots) > DEPTH:
                top = np.argpartition(-scores, DEPTH)[:DEPTH]
                slots, scores = slots[top], scores[top]
            order = np.lexsort((slots, -scores))
            best.append((slots[order], scores[order]))
        union = np.unique(np.concatenate([slots for slots, _ in best]))
        matrix = np.zeros((len(union), len(best)))
        ranks = np.full((len(union), len(best)), ABSENT)
        for column, (slots, scores) in enumerate(best):
            places = np.searchsorted(union, slots)
            matrix[places, column] = scores
            ranks[places, column] = np.arange(len(slots))
        names = [source.name for source in self.sources]
        return Candidates(union, names, np.array([source.personal for source in self.sources]), matrix, ranks)

    def _slate(
        self,
        query: Query,
        candidates: Candidates,
        scores: Scores,
        order: Slots,
        kept: Mask,
        dropped: dict[str, int],
        degraded: list[str],
    ) -> Slate:
        """Cuts the page; behind the candidates come all other posts that stay, by popularity."""
        start, end = (query.page - 1) * query.page_size, query.page * query.page_size
        chosen = order[start:end]
        slots, final = candidates.slots[chosen], scores[chosen]
        sources = [
            {name: float(score) for name, score in zip(candidates.names, row, strict=True) if score > 0}
            for row in candidates.scores[chosen]
        ]
        if end > len(order):
            rest = kept.copy()
            rest[candidates.slots] = False
            others = np.flatnonzero(rest)
            popularity = query.decayed(popular.WINDOW)[others]
            ranked = np.lexsort((query.catalogue.ids[others], -popularity))
            fill = ranked[max(start - len(order), 0) : end - len(order)]
            slots = np.concatenate([slots, others[fill]])
            final = np.concatenate([final, np.full(len(fill), scores.min(initial=0.0) - 1.0)])
            sources += [{popular.Popular.name: float(score)} for score in popularity[fill]]
        names = dict.fromkeys(name for row in sources for name in row)
        used = "+".join(source.name for source in self.sources if source.name in names)
        return Slate(
            slots=slots,
            scores=final,
            sources=sources,
            algorithm_used=used if query.state.events else f"cold_start:{used}",
            total_count=int(np.count_nonzero(kept)),
            dropped=dropped,
            degraded=degraded,
        )

    async def _guarded(self, part: str, work: Awaitable[T], deadline: float, degraded: list[str]) -> T | None:
        """What `work` returns; None when it fails or is not done by the deadline."""
        with self._skipping(part, degraded):
            try:
                async with asyncio.timeout(deadline):
                    return await work
            except TimeoutError:
                raise TimeoutError(f"not done after {deadline * 1000:.0f} ms") from None
        return None

    @contextmanager
    def _skipping(self, part: str, degraded: list[str]) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            _log.warning("feed part skipped", part=part, error=repr(error))
            self.metrics.failures.labels(part).inc()
            degraded.append(f"{part}: {str(error) or type(error).__name__}")

    @contextmanager
    def _measured(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.metrics.stages.labels(stage).observe(time.perf_counter() - started)
