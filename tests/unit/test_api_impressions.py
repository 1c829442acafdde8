"""Impressions: what is told of a page, and what happens when Kafka does not take it."""

import asyncio
import gc
import random
import weakref
from dataclasses import replace

import numpy as np
import pytest

from api.candidate_pipeline import Slate
from api.catalogue import Catalogue
from api.metrics import Metrics
from api.producer import Record
from api.side_effects.impressions import MOST_WAITING_BYTES, Impressions
from api.stages import Query
from schemas.errors import ServiceUnavailable
from schemas.impressions import decode
from schemas.settings import Settings

FEATURES = [{"svd": 1.0}, {"svd": 0.5, "popular": 2.0}]


class Kafka:
    """Takes records; `open` says when, `up` whether at all, `most` how many at once."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.open = asyncio.Event()
        self.open.set()
        self.up = True
        self.most: int | None = None

    async def deliver(self, records: list[Record]) -> int:
        await self.open.wait()
        if not self.up:
            raise ServiceUnavailable("Kafka is not reachable yet.")
        taken = records[: self.most]
        self.records += taken
        return len(taken)


@pytest.fixture
def served() -> tuple[Query, Slate]:
    catalogue = Catalogue()
    slots = np.array([catalogue.slot(post_id) for post_id in (11, 12)])
    query = Query("u", 5.0, catalogue, page=3, page_size=2, session_id="s")
    sources = [["svd"], ["svd", "popular"]]
    slate = Slate(slots, np.array([0.9, 0.8]), sources, "svd+popular", 9, {}, [], {"svd": "7"})
    return query, replace(slate, rows=lambda: FEATURES)


def outcomes(metrics: Metrics) -> dict[str, float]:
    samples = next(iter(metrics.impressions.collect())).samples
    return {sample.labels["outcome"]: sample.value for sample in samples if sample.name.endswith("_total")}


async def test_an_impression_tells_the_page_and_a_sample_carries_features(served: tuple[Query, Slate]) -> None:
    random.seed(1)
    kafka, metrics = Kafka(), Metrics()
    effect = Impressions(kafka, Settings(), metrics)  # type: ignore[arg-type]
    for _ in range(300):
        await effect.run(*served)
    await effect.close()
    told = [decode(record.value or b"") for record in kafka.records]
    assert (told[0].posts, told[0].position, told[0].scores) == ([11, 12], 4, [0.9, 0.8])
    assert told[0].sources == [["svd"], ["svd", "popular"]]
    assert told[0].model_versions == {"svd": "7"}
    sampled = [impression.features for impression in told if impression.features is not None]
    assert 10 < len(sampled) < 60
    assert sampled[0] == FEATURES
    assert outcomes(metrics) == {"sent": 300}


async def test_an_impression_tells_what_the_weights_of_batch_models_are_multiplied_with(
    served: tuple[Query, Slate],
) -> None:
    kafka, (query, slate) = Kafka(), served
    effect = Impressions(kafka, Settings(), Metrics())  # type: ignore[arg-type]
    await effect.run(query, slate)
    slate.outside = {"svd": [0.5, -4.25]}
    await effect.run(query, slate)
    await effect.close()
    assert [decode(record.value or b"").outside for record in kafka.records] == [None, {"svd": [0.5, -4.25]}]


async def test_without_kafka_an_impression_is_counted_as_failed(served: tuple[Query, Slate]) -> None:
    kafka, metrics = Kafka(), Metrics()
    kafka.up = False
    effect = Impressions(kafka, Settings(), metrics)  # type: ignore[arg-type]
    await effect.run(*served)
    await effect.close()
    assert outcomes(metrics) == {"failed": 1}


async def test_what_kafka_gave_up_is_counted_apart_from_what_it_took(served: tuple[Query, Slate]) -> None:
    kafka, metrics = Kafka(), Metrics()
    kafka.most = 3
    effect = Impressions(kafka, Settings(), metrics)  # type: ignore[arg-type]
    for _ in range(5):
        await effect.run(*served)
    await effect.close()
    assert outcomes(metrics) == {"sent": 3, "failed": 2}


async def test_pages_that_wait_are_bounded_in_bytes_and_none_is_lost_for_coming_late(
    served: tuple[Query, Slate],
) -> None:
    kafka, metrics = Kafka(), Metrics()
    kafka.open.clear()
    effect = Impressions(kafka, Settings(), metrics)  # type: ignore[arg-type]
    served[1].sources[0] = [f"source{number}" for number in range(50_000)]
    random.seed(1)
    while not outcomes(metrics):
        await effect.run(*served)
    waiting = metrics.impressions_waiting.collect()[0].samples[0].value
    kafka.open.set()
    await effect.close()
    size = len(kafka.records[0].value or b"")
    assert MOST_WAITING_BYTES - 3 * size < waiting <= MOST_WAITING_BYTES
    assert outcomes(metrics) == {"dropped": 1, "sent": len(kafka.records)}
    assert metrics.impressions_waiting.collect()[0].samples[0].value == 0


async def test_a_page_that_waits_keeps_nothing_of_its_query(served: tuple[Query, Slate]) -> None:
    kafka, query = Kafka(), replace(served[0])
    kafka.open.clear()
    effect, kept = Impressions(kafka, Settings(), Metrics()), weakref.ref(query)  # type: ignore[arg-type]
    await effect.run(query, served[1])
    del query
    gc.collect()
    assert kept() is None
    kafka.open.set()
    await effect.close()
    assert len(kafka.records) == 1
