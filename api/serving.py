"""What the routes share: connections and state that live as long as the process."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import structlog
from starlette.requests import Request

from schemas.settings import Settings

from .collections import Collections
from .content_follower import ContentFollower
from .experiments import load_experiments
from .factors import Factors
from .items import EncodedPosts
from .metrics import Metrics
from .mirror import Mirror
from .models import Models
from .postgres import PostgresPing
from .producer import Producer
from .reads import Reads
from .redis import connection
from .trending_past import TrendingPast
from .trending_stream import TrendingStream
from .visits import Visits

REDIS_TIMEOUT = 0.25
"""Seconds a request waits for Redis, which answers in a millisecond when it is well."""
FOLLOW_TIMEOUT = 5.0
"""Seconds the mirror waits; longer than it lets Redis block."""

_log = structlog.get_logger()


class Serving:
    """Built once by create_app; nothing connects before `run`. Raises SettingsError for an address that is not set."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        url = settings.require("REDIS_URL")
        self.redis = connection(url, REDIS_TIMEOUT)
        self.reads = Reads(url, REDIS_TIMEOUT)
        self._follow_redis = connection(url, FOLLOW_TIMEOUT)
        self.mirror = Mirror(self._follow_redis, settings.kafka_partitions, metrics)
        self.factors = Factors(self._follow_redis, self.mirror)
        self.models = Models(settings, self._follow_redis, metrics)
        self.mirror.prepare = self.models.prepare
        self.content = ContentFollower(self.mirror, self.models)
        self.posts = EncodedPosts(settings.cache_ttl, metrics)
        self.producer = Producer(settings)
        self.collections = Collections(settings)
        self.visits = Visits(self.redis)
        self.experiments = load_experiments(settings.experiments_path)
        self.trending_past = TrendingPast(self._follow_redis, self.mirror, settings.max_post_age_days)
        self.trending_stream = TrendingStream(self.mirror, self.trending_past)
        self.postgres = PostgresPing(settings.database_url)
        settings.require("KAFKA_BOOTSTRAP_SERVERS")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything that goes on beside requests. It starts at once, whatever is up."""
        tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("mirror", self.mirror.run()),
                ("factors", self.factors.run()),
                ("models", self.models.run()),
                ("announcements", self.models.listen()),
                ("content", self.content.run()),
                ("trending past", self.trending_past.run()),
                ("trending stream", self.trending_stream.run()),
                ("producer", self.producer.connect()),
            )
        ]
        try:
            yield
        finally:
            await cancel(tasks)
            for task, result in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
                if isinstance(result, Exception):
                    _log.error("background task failed", task=task.get_name(), error=repr(result))
            await self.collections.close()
            await self.visits.close()
            await self.producer.close()
            await self.reads.close()
            await self.redis.aclose()
            await self._follow_redis.aclose()


async def cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Until all have ended. Once is not enough: Python 3.11's wait_for, in which redis-py sends, forgets that it was
    cancelled when what it waits for is done just then, and a task that goes on for ever goes on."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.5)


def serving_of(request: Request) -> Serving:
    serving: Serving = request.app.state.serving
    return serving
