"""Tells Kafka what was shown (topic `impressions`)."""

import asyncio
import random
from math import isfinite

import structlog

from schemas import topics
from schemas.errors import ReelstreamError
from schemas.impressions import Impression, encode
from schemas.settings import Settings

from ..candidate_pipeline import Slate
from ..metrics import Metrics
from ..producer import Producer, Record
from ..stages import EXPLORATION, Query

MOST_WAITING = 256
"""Pages whose impression is under way; beyond, with Kafka down, they are dropped and counted."""
GATHER_SECONDS = 0.02
"""Between two messages: pages wait so long for others, as to send each by itself took 0.3 ms of a feed's 1.3."""
SAMPLE = 0.1
"""Share of pages whose impression carries the scores of each source, for the record."""

_log = structlog.get_logger()


class Impressions:
    """One message a page, keyed by user, or of a guest, whose username is empty, by session. Losing some is harmless,
    so nothing is tried again."""

    name = "impressions"

    def __init__(self, producer: Producer, settings: Settings, metrics: Metrics) -> None:
        self._producer = producer
        self._partitions = settings.kafka_partitions
        self._metrics = metrics
        self._waiting: list[tuple[Query, Slate]] = []
        self._sent: asyncio.Future[None] | None = None
        self._sending = 0
        self._sender: asyncio.Task[None] | None = None

    async def run(self, query: Query, slate: Slate) -> None:
        """Returns when Kafka has the page, or refused it."""
        if len(self._waiting) + self._sending >= MOST_WAITING:
            self._metrics.impressions.labels("dropped").inc()
            return
        self._waiting.append((query, slate))
        if self._sent is None:
            self._sent = asyncio.get_running_loop().create_future()
        sent = self._sent
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        await asyncio.shield(sent)

    async def _send(self) -> None:
        """Until nothing waits: the first at once, then those of each 20 ms."""
        try:
            while self._waiting:
                pages, self._waiting = self._waiting, []
                told, self._sent = self._sent, None
                self._sending = len(pages)
                outcome = "sent"
                try:
                    await self._producer.send([self._record(query, slate) for query, slate in pages])
                except ReelstreamError as error:
                    outcome = "failed"
                    _log.warning("impressions lost", pages=len(pages), error=str(error))
                finally:
                    if told is not None and not told.done():
                        told.set_result(None)
                self._metrics.impressions.labels(outcome).inc(len(pages))
                await asyncio.sleep(GATHER_SECONDS)
        finally:
            self._sending, self._sender = 0, None

    def _record(self, query: Query, slate: Slate) -> Record:
        key = query.username or query.session_id or ""  # of a guest there is nothing but the session
        value = encode(_impression(query, slate))
        return Record(topics.IMPRESSIONS, key.encode(), value, topics.owner(key, self._partitions))


def _impression(query: Query, slate: Slate) -> Impression:
    return Impression(
        recommendation_id=slate.recommendation_id,
        username=query.username,
        session_id=query.session_id,
        served_at=query.now,
        algorithm_used=slate.algorithm_used,
        model_versions=slate.model_versions,
        position=(query.page - 1) * query.page_size,
        posts=query.catalogue.ids[slate.slots].tolist(),
        scores=[score if isfinite(score) else None for score in slate.scores.tolist()],
        sources=[list(sources) for sources in slate.sources],
        propensities=[sources.get(EXPLORATION, 1.0) for sources in slate.sources],
        features=slate.sources if slate.scored and random.random() < SAMPLE else None,
        outside=slate.outside or None,
        variant=query.variant,
    )
