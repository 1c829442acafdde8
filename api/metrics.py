"""What `/metrics` tells (Prometheus): requests, feed stages, and what the workers say in their heartbeats."""

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from schemas.heartbeat import Heartbeat

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder in which processes of one port keep their counts, for any of them to add up (prometheus_client reads
it when it is imported). Those of a process that died stay: what it counted, it counted."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The measurements of one API process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Histogram(
            "reelstream_request_seconds", "Time to answer", ["route", "status"], buckets=_SECONDS, registry=registry
        )
        self._by_route: dict[tuple[str, int], Histogram] = {}
        self.stages = Histogram(
            "reelstream_feed_stage_seconds", "Time in a feed stage", ["stage"], buckets=_SECONDS, registry=registry
        )
        self.dropped = Counter("reelstream_filter_dropped", "Posts held back from feeds", ["reason"], registry=registry)
        self.failures = Counter(
            "reelstream_feed_part_failures", "Feed parts that failed or were late", ["part"], registry=registry
        )
        self.cache_requests = Counter(
            "reelstream_cache_requests", "Looks into a cache, and what came of them", ["cache", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.impressions = Counter(
            "reelstream_impressions", "Served pages told to Kafka, or lost", ["outcome"], registry=registry
        )
        self.impressions_waiting = Gauge(
            "reelstream_impressions_waiting_bytes", "Of served pages that Kafka has not acknowledged",
            registry=registry, multiprocess_mode="mostrecent",
        )  # fmt: skip
        self.mirror_reloads = Counter("reelstream_mirror_reloads", "Full loads of the mirror", registry=registry)
        self.mirror_posts = Gauge(
            "reelstream_mirror_posts", "Posts in the mirror", registry=registry, multiprocess_mode="mostrecent"
        )

    def request(self, route: str, status: int) -> Histogram:
        """Of one route and status. Their labels are looked up once: each time it is 1 to 3 µs."""
        found = self._by_route.get((route, status))
        if found is None:
            found = self._by_route[route, status] = self.requests.labels(route, str(status))
        return found

    def exposition(self, workers: list[Heartbeat], model_versions: dict[str, str]) -> bytes:
        """The page that Prometheus reads: of all API processes on this port together, where there are several. Workers
        and versions that are gone vanish from it."""
        ours = self.registry
        if FOLDER in os.environ:
            ours = CollectorRegistry()
            MultiProcessCollector(ours)  # type: ignore[no-untyped-call]
        told = CollectorRegistry()
        told.register(_Told(workers, model_versions))
        return generate_latest(ours) + generate_latest(told)


class _Told(Collector):
    """What is no measurement of ours."""

    def __init__(self, workers: list[Heartbeat], model_versions: dict[str, str]) -> None:
        self._workers, self._versions = workers, model_versions

    def collect(self) -> Iterable[GaugeMetricFamily]:
        models = GaugeMetricFamily("reelstream_model_version", "Model in service: 1", labels=["model", "version"])
        lag = GaugeMetricFamily(
            "reelstream_consumer_lag", "Messages not applied yet", labels=["worker", "topic", "partition"]
        )
        freshness = GaugeMetricFamily(
            "reelstream_event_to_feed_seconds", "From produced to applied", labels=["worker", "quantile"]
        )
        totals = GaugeMetricFamily(
            "reelstream_worker_total", "Totals since the worker started", labels=["worker", "counter"]
        )
        learner = GaugeMetricFamily("reelstream_learner", "How good the global models are", labels=["worker", "metric"])
        for model, version in self._versions.items():
            models.add_metric([model, version], 1)
        for worker in self._workers:
            for topic_partition, messages in worker.lag.items():
                topic, _, partition = topic_partition.rpartition("-")
                lag.add_metric([worker.id, topic, partition], messages)
            for family, values in ((freshness, worker.freshness), (totals, worker.counters), (learner, worker.metrics)):
                for name, value in values.items():
                    family.add_metric([worker.id, name], value)
        return models, lag, freshness, totals, learner
