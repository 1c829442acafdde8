"""Tells Kafka what was shown (topic `impressions`)."""

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
        self._waiting = 0

    async def run(self, query: Query, slate: Slate) -> None:
        if self._waiting >= MOST_WAITING:
            self._metrics.impressions.labels("dropped").inc()
            return
        self._waiting += 1
        try:
            key = query.username or query.session_id or ""  # of a guest there is nothing but the session
            partition = topics.owner(key, self._partitions)
            value = encode(_impression(query, slate))
            await self._producer.send([Record(topics.IMPRESSIONS, key.encode(), value, partition)])
            self._metrics.impressions.labels("sent").inc()
        except ReelstreamError as error:
            self._metrics.impressions.labels("failed").inc()
            _log.warning("impression lost", recommendation_id=slate.recommendation_id, error=str(error))
        finally:
            self._waiting -= 1


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
        features=slate.sources if random.random() < SAMPLE else None,
        variant=query.variant,
    )
