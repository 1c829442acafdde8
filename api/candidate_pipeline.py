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

from online_models import candidates as best

from .metrics import Metrics
from .sources import popular
from .stages import (
    EXPLORATION,
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
        """The union of the best of each source among those that stay (online_models.candidates).

        Scores go there as shares of the best of their source: single precision would lose those of events long ago.
        """
        size, sources = len(kept), len(self.sources)
        shares, scale = np.zeros((sources, size), np.float32), np.ones(sources)
        logits = np.zeros(sources, np.bool_)
        for row, found in enumerate(retrieved):
            if found is None or not len(found.slots):
                continue
            logits[row] = found.logits
            if found.logits:
                shares[row] = -np.inf
            else:
                scale[row] = found.scores.max()
            shares[row, found.slots] = found.scores / scale[row]
        union = best.Candidates(shares, logits, kept)
        return Candidates(
            slots=union.slots.astype(np.int64),
            places=union.places,
            names=[source.name for source in self.sources],
            personal=np.array([source.personal for source in self.sources]),
            scores=shares[:, union.slots].T * scale,
            taken=union.ranks < best.ABSENT,
            features=union.features,
        )

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
            {name: score for name, score, has in zip(candidates.names, row, taken, strict=True) if has}
            for row, taken in zip(candidates.scores[chosen].tolist(), candidates.taken[chosen].tolist(), strict=True)
        ]
        for row, place in zip(sources, chosen.tolist(), strict=True):
            if place in candidates.explored:
                row[EXPLORATION] = candidates.explored[place]
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
