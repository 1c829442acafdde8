"""What the agents of a worker share: settings, Redis, the log ids and the progress; and what each role has besides."""

import asyncpg
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from schemas import topics
from schemas.settings import Settings

from .commit import Committer
from .log_ids import fetch_log_ids
from .producing import create_producer
from .progress import Progress


class Services:
    """Built without connecting; `start` connects, inside the event loop of the worker."""

    redis: Redis

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.partitions = settings.kafka_partitions
        self.progress = Progress()
        self.log_ids: dict[str, str] = {}

    async def start(self) -> None:
        """Raises ServiceUnavailable when the topics are not there or not as the settings say."""
        self.redis = Redis.from_url(self.settings.require("REDIS_URL"), socket_timeout=5, socket_connect_timeout=2)
        await self.read_log_ids()

    async def stop(self) -> None:
        await self.redis.aclose()

    async def read_log_ids(self) -> None:
        """Reads which logs these are: at start and after every rebalance, as a topic may have been made anew."""
        wanted = (topics.INTERACTIONS, topics.POSTS, topics.ITEM_SIGNALS)
        self.log_ids = await fetch_log_ids(self.settings, dict.fromkeys(wanted, self.partitions))


class LearnServices(Services):
    """Those of the workers that write to Redis and send signals."""

    committer: Committer
    producer: AIOKafkaProducer

    async def start(self) -> None:
        await super().start()
        self.committer = Committer(self.redis)
        self.producer = create_producer(self.settings)
        await self.producer.start()

    async def stop(self) -> None:
        await self.producer.stop()
        await super().stop()


class RecordServices(Services):
    """Those of the workers that write to PostgreSQL."""

    pool: asyncpg.Pool

    async def start(self) -> None:
        await super().start()
        # min_size=0: connects when first used, so that a PostgreSQL that is down is waited for like any other.
        self.pool = await asyncpg.create_pool(
            self.settings.require("DATABASE_URL"), min_size=0, max_size=4, command_timeout=30
        )

    async def stop(self) -> None:
        self.pool.terminate()
        await super().stop()
