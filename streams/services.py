"""What the agents of a worker share: settings, Redis, the log ids and the progress; and what each role has besides."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from schemas import topics
from schemas.database import create_pool
from schemas.settings import Settings

from .commit import Committer
from .compiling import compile_models, compile_stages
from .log_ids import fetch_log_ids
from .log_reader import LogReader
from .producing import create_producer
from .progress import Progress
from .redis import connect
from .user_record import UserRecord

log = structlog.get_logger()
RECORD_PLANNER = {"enable_seqscan": "off"}
"""What the record's writers ask for has a key. A plan made while a month is empty reads it as a whole, and is kept
until PostgreSQL next counts its rows: a minute later there may be a million."""


class Services:
    """Built without connecting; `start` connects, inside the event loop of the worker."""

    redis: Redis

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.partitions = settings.kafka_partitions
        self.progress = Progress()
        self.log_reader = LogReader(settings)
        self.log_ids: dict[str, str] = {}
        self._closing = AsyncExitStack()

    async def start(self) -> None:
        """Waits for Kafka. Raises ServiceUnavailable when the topics are not there or not as the settings say."""
        self.redis = connect(self.settings.require("REDIS_URL"))
        self._closing.push_async_callback(self.redis.aclose)
        await _once_kafka_answers(self.read_log_ids)

    async def stop(self) -> None:
        """Closes what `start` came to open."""
        await self._closing.aclose()

    async def read_log_ids(self) -> None:
        """Reads which logs these are: at start and after every rebalance, as a topic may have been made anew."""
        wanted = (
            topics.INTERACTIONS, topics.POSTS, topics.USERS, topics.ITEM_SIGNALS, topics.IMPRESSIONS, topics.TRENDING,
        )  # fmt: skip
        partitions = {**dict.fromkeys(wanted, self.partitions), topics.LEARNING: 1}
        self.log_ids = await fetch_log_ids(self.settings, partitions)


class ModelsServices(Services):
    """Those of the workers that write to Redis and send messages. pool: None where there is no record."""

    committer: Committer
    producer: AIOKafkaProducer
    pool: asyncpg.Pool | None = None

    async def start(self) -> None:
        await super().start()
        self.compile()
        self.committer = Committer(self.redis)
        self.producer = create_producer(self.settings)
        await _once_kafka_answers(self.producer.start)
        self._closing.push_async_callback(self.producer.stop)
        if self.settings.database_url is not None:
            self.pool = await create_pool(self.settings)
            self._closing.callback(self.pool.terminate)

    def compile(self) -> None:
        compile_models()


class LearnServices(ModelsServices):
    """Those of the workers that apply events to users and posts."""

    user_record: UserRecord | None = None

    async def start(self) -> None:
        await super().start()
        if self.pool is not None:
            self.user_record = UserRecord(self.pool, self.settings)

    def compile(self) -> None:
        compile_stages()


class RecordServices(Services):
    """Those of the workers that write to PostgreSQL."""

    pool: asyncpg.Pool

    async def start(self) -> None:
        await super().start()
        self.pool = await create_pool(self.settings, **RECORD_PLANNER)
        self._closing.callback(self.pool.terminate)


async def _once_kafka_answers(call: Callable[[], Awaitable[None]]) -> None:
    """Calls it until Kafka answers, with back-off: were the worker to end, it would only be started again and again."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type((KafkaError, OSError)),
        wait=wait_exponential_jitter(initial=0.2, max=5.0),
        before_sleep=_tell,
    )
    await retrying(call)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("Kafka does not answer, trying again", attempt=state.attempt_number, error=repr(error))
