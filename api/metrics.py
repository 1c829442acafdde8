"""What `/metrics` tells (Prometheus): requests, feed stages, and what the workers say in their heartbeats."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from schemas.heartbeat import Heartbeat

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The measurements of one API process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Histogram(
            "reelstream_request_seconds", "Time to answer", ["route", "status"], buckets=_SECONDS, registry=registry
        )
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
        self.mirror_reloads = Counter("reelstream_mirror_reloads", "Full loads of the mirror", registry=registry)
        self.mirror_posts = Gauge("reelstream_mirror_posts", "Posts in the mirror", registry=registry)
        self._models = Gauge("reelstream_model_version", "Model in service: 1", ["model", "version"], registry=registry)
        self._lag = Gauge(
            "reelstream_consumer_lag", "Messages not applied yet", ["worker", "topic", "partition"], registry=registry
        )
        self._freshness = Gauge(
            "reelstream_event_to_feed_seconds", "From produced to applied", ["worker", "quantile"], registry=registry
        )
        self._totals = Gauge(
            "reelstream_worker_total", "Totals since the worker started", ["worker", "counter"], registry=registry
        )
        self._learner = Gauge(
            "reelstream_learner", "How good the global models are", ["worker", "metric"], registry=registry
        )

    def exposition(self, workers: list[Heartbeat], model_versions: dict[str, str]) -> bytes:
        """The page that Prometheus reads. Workers and versions that are gone vanish from it."""
        for gauge in (self._models, self._lag, self._freshness, self._totals, self._learner):
            gauge.clear()
        for model, version in model_versions.items():
            self._models.labels(model, version).set(1)
        for worker in workers:
            for topic_partition, lag in worker.lag.items():
                topic, _, partition = topic_partition.rpartition("-")
                self._lag.labels(worker.id, topic, partition).set(lag)
            for quantile, seconds in worker.freshness.items():
                self._freshness.labels(worker.id, quantile).set(seconds)
            for counter, total in worker.counters.items():
                self._totals.labels(worker.id, counter).set(total)
            for metric, value in worker.metrics.items():
                self._learner.labels(worker.id, metric).set(value)
        return generate_latest(self.registry)
