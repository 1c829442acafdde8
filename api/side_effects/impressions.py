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
from ..producer import CLOSE_SECONDS, Producer, Record
from ..stages import Query

MOST_WAITING_BYTES = 8 << 20
"""Of pages that Kafka has not acknowledged, some 2,600; beyond, with Kafka down, they are dropped and counted."""
GATHER_SECONDS = 0.02
"""Between two messages: pages wait so long for others, as to send each by itself took 0.3 ms of a feed's 1.3."""
SAMPLE = 0.1
"""Share of pages whose impression carries the scores of each source, for the record."""

_log = structlog.get_logger()


class Impressions:
    """One message a page, keyed by user, or of a guest, whose username is empty, by session. A page that comes late is
    no loss, so each has the time that Kafka's client takes for its own tries; after those, losing some is harmless."""

    name = "impressions"

    def __init__(self, producer: Producer, settings: Settings, metrics: Metrics) -> None:
        self._producer = producer
        self._partitions = settings.kafka_partitions
        self._metrics = metrics
        self._waiting: list[Record] = []
        self._bytes = 0
        self._sender: asyncio.Task[None] | None = None

    async def run(self, query: Query, slate: Slate) -> None:
        """Does not wait for Kafka. Of the page only its message is kept: a query has scores of all posts, and those of
        some hundred that waited took more than all else in the process."""
        record = self._record(query, slate)
        if self._bytes + _size(record) > MOST_WAITING_BYTES:
            self._metrics.impressions.labels("dropped").inc()
            return
        self._waiting.append(record)
        self._count_bytes(_size(record))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Returns when Kafka has all pages, or refused them; after CLOSE_SECONDS at most."""
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=CLOSE_SECONDS)

    async def _send(self) -> None:
        """Until nothing waits: the first at once, then those of each 20 ms."""
        try:
            while self._waiting:
                records, self._waiting = self._waiting, []
                try:
                    sent = await self._producer.deliver(records)
                except ReelstreamError as error:
                    sent = 0
                    _log.warning("impressions lost", pages=len(records), error=str(error))
                finally:
                    self._count_bytes(-sum(map(_size, records)))
                for outcome, pages in (("sent", sent), ("failed", len(records) - sent)):
                    if pages:
                        self._metrics.impressions.labels(outcome).inc(pages)
                await asyncio.sleep(GATHER_SECONDS)
        finally:
            self._sender = None

    def _count_bytes(self, more: int) -> None:
        self._bytes += more
        self._metrics.impressions_waiting.set(self._bytes)

    def _record(self, query: Query, slate: Slate) -> Record:
        key = query.username or query.session_id or ""  # of a guest there is nothing but the session
        value = encode(_impression(query, slate))
        return Record(topics.IMPRESSIONS, key.encode(), value, topics.owner(key, self._partitions))


def _size(record: Record) -> int:
    return len(record.value or b"")


def _impression(query: Query, slate: Slate) -> Impression:
    explored = slate.explored
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
        sources=slate.sources,
        propensities=[explored.get(slot, 1.0) for slot in slate.slots.tolist()],
        features=slate.rows() if slate.rows is not None and random.random() < SAMPLE else None,
        outside=slate.outside or None,
        variant=query.variant,
    )
