"""Impressions: what is told of a page, and what happens when Kafka does not take it."""

import asyncio
import random

import numpy as np
import pytest

from api.candidate_pipeline import Slate
from api.catalogue import Catalogue
from api.metrics import Metrics
from api.producer import Record
from api.side_effects.impressions import MOST_WAITING, Impressions
from api.stages import Query
from schemas.errors import ServiceUnavailable
from schemas.impressions import decode
from schemas.settings import Settings


class Kafka:
    """Takes records; `open` says when, `up` whether at all."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.open = asyncio.Event()
        self.open.set()
        self.up = True

    async def send(self, records: list[Record]) -> None:
        await self.open.wait()
        if not self.up:
            raise ServiceUnavailable("Kafka is not reachable yet.")
        self.records += records


@pytest.fixture
def served() -> tuple[Query, Slate]:
    catalogue = Catalogue()
    slots = np.array([catalogue.slot(post_id) for post_id in (11, 12)])
    query = Query("u", 5.0, catalogue, page=3, page_size=2, session_id="s")
    sources = [{"svd": 1.0}, {"svd": 0.5, "popular": 2.0}]
    return query, Slate(slots, np.array([0.9, 0.8]), sources, "svd+popular", 9, {}, [], {"svd": "7"})


def outcomes(metrics: Metrics) -> dict[str, float]:
    samples = next(iter(metrics.impressions.collect())).samples
    return {sample.labels["outcome"]: sample.value for sample in samples if sample.name.endswith("_total")}


async def test_an_impression_tells_the_page_and_a_sample_carries_features(served: tuple[Query, Slate]) -> None:
    random.seed(1)
    kafka, metrics = Kafka(), Metrics()
    effect = Impressions(kafka, Settings(), metrics)  # type: ignore[arg-type]
    for _ in range(300):
        await effect.run(*served)
    told = [decode(record.value or b"") for record in kafka.records]
    assert (told[0].posts, told[0].position, told[0].scores) == ([11, 12], 4, [0.9, 0.8])
    assert told[0].sources == [["svd"], ["svd", "popular"]]
    assert told[0].model_versions == {"svd": "7"}
    sampled = [impression.features for impression in told if impression.features is not None]
    assert 10 < len(sampled) < 60
    assert sampled[0] == served[1].sources
    assert outcomes(metrics) == {"sent": 300}


async def test_an_impression_tells_what_the_weights_of_batch_models_are_multiplied_with(
    served: tuple[Query, Slate],
) -> None:
    kafka, (query, slate) = Kafka(), served
    effect = Impressions(kafka, Settings(), Metrics())  # type: ignore[arg-type]
    await effect.run(query, slate)
    slate.outside = {"svd": [0.5, -4.25]}
    await effect.run(query, slate)
    assert [decode(record.value or b"").outside for record in kafka.records] == [None, {"svd": [0.5, -4.25]}]


async def test_without_kafka_an_impression_is_counted_as_failed(served: tuple[Query, Slate]) -> None:
    kafka, metrics = Kafka(), Metrics()
    kafka.up = False
    await Impressions(kafka, Settings(), metrics).run(*served)  # type: ignore[arg-type]
    assert outcomes(metrics) == {"failed": 1}


async def test_impressions_that_wait_are_bounded(served: tuple[Query, Slate]) -> None:
    kafka, metrics = Kafka(), Metrics()
    kafka.open.clear()
    effect = Impressions(kafka, Settings(), metrics)  # type: ignore[arg-type]
    running = [asyncio.create_task(effect.run(*served)) for _ in range(MOST_WAITING + 5)]
    await asyncio.sleep(0)
    assert outcomes(metrics) == {"dropped": 5}
    kafka.open.set()
    await asyncio.gather(*running)
    assert outcomes(metrics) == {"dropped": 5, "sent": MOST_WAITING}
