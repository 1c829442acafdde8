"""Which agents listen to what. Three apps, three consumer groups: what a feed waits for must wait neither for what
records nor for models that learn from everybody's events.

| role   | topic         | agent             | tells or writes                                       |
|--------|---------------|-------------------|-------------------------------------------------------|
| learn  | interactions  | InteractionsAgent | Redis: users; topics item-signals, learning           |
| learn  | posts         | PostsAgent        | topics item-signals, learning                         |
| learn  | users         | UsersAgent        | Redis: profiles                                       |
| learn  | item-signals  | ItemsAgent        | Redis: posts, counters, trending, neighbours          |
| learn  | impressions   | ImpressionsAgent  | topics learning, dead-letters                         |
| learn  | (every second)| TrendingPublisher | topic trending                                        |
| learn  | (every second)| StateKeeper       | Redis: all of it, when it was lost (streams.rebuild)  |
| models | learning      | LearnerAgent      | Redis: vectors of posts, weights, snapshots           |
| record | interactions  | EventLogAgent     | PostgreSQL                                            |
| record | posts, users  | CatalogueLogAgent | PostgreSQL                                            |
| record | impressions   | ImpressionLogAgent| PostgreSQL                                            |
| record | trending      | TrendingLogAgent  | PostgreSQL, once an hour                              |
| record | (every hour)  | keep_months       | PostgreSQL: partitions to come, old ones dropped      |
"""

import gc
import os
import threading
from collections.abc import Awaitable, Callable, Iterable

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.types import TP
from mode.types import ServiceT
from redis.exceptions import RedisError

from schemas import heartbeat, topics
from schemas.settings import Settings

from . import state_keeper
from .batches import MOST_MESSAGES, STEADY, Agent, Pace, apply_batches
from .catalogue_log import CatalogueLogAgent
from .event_log import EventLogAgent
from .groups import LEARN_GROUP, MODELS_GROUP, RECORD_GROUP
from .heartbeat import HeartbeatWriter
from .impression_log import ImpressionLogAgent
from .impressions import ImpressionsAgent
from .interactions import InteractionsAgent
from .items import ItemsAgent
from .learner import LearnerAgent
from .months import MONTHS_SECONDS, keep_months
from .posts import PostsAgent
from .raw_schema import RawSchema
from .services import LearnServices, ModelsServices, RecordServices, Services
from .state_keeper import StateKeeper
from .transport import transport_class
from .trending import TrendingPublisher
from .trending_log import TrendingLogAgent
from .users import UsersAgent
from .watchdog import Watchdog

STOP_SECONDS = 20.0
LATE_FETCH = {"fetch_max_wait_ms": 200, "fetch_min_bytes": 256 * 1024}
"""Of `models` and `record`, which no feed waits for."""
ITEMS_PACE = Pace(heavy=0.2, backlog=0.5)
"""An event changes the rows of 16 posts, and the next one some of the same: under load, 4,000 events a commit write a
third of the rows that 400 would, and 12,000 take 7.4 µs of CPU an event instead of 10.8. The feed of the user who acted
doesn't wait for this."""
INTERACTIONS_PACE = Pace(most_bytes=2 << 20)
"""Some 15,000 events, half a second of work: for so long a rebalance waits. 2,000 arrays of 50 would be 3.5 s."""
BUFFERED_MESSAGES = 1024
"""Between Faust's consumer and an agent, beside batches.MOST_BYTES. While Redis was frozen for 60 s and 6,500 arrays
of 1,000 events came (800 MB), a worker grew from 233 MB to 353; to 1,004 with Faust's 4,096 and no bound in bytes. With
256 it is 280, but single events took a tenth more CPU."""
LEARNER_PACE = Pace(0.1, 0.1, 0.1)
"""Vectors are published once a second: fuller batches cost feeds nothing."""
LEARNER_MESSAGES = 128
"""Held at a time: each has up to 1,000 events with their pasts, 450 KB; of Faust's 4,096 that would be 1.8 GB."""
PUBLISH_SECONDS = 1.0
GROUPS = {"learn": LEARN_GROUP, "models": MODELS_GROUP, "record": RECORD_GROUP}
METADATA_MS = 10_000
"""A worker that joins its group while the broker comes up may be told of topics without partitions. It owns none then,
until it asks again: after 5 minutes unless told otherwise."""
LEARNING = TP(topics.LEARNING, 0)
RECORD_PACE = Pace(0.1, 0.1, 0.1)
"""The record may be a little late: fewer and fuller fetches and inserts leave the cores to what feeds wait for."""
log = structlog.get_logger()


class WorkerApp(faust.App):
    """A Faust app whose services connect before the first event and close after the last."""

    services: Services
    slot: int

    def _create_directories(self) -> None:
        """Faust would make a folder for tables in the working directory; there are no tables."""

    def on_init_dependencies(self) -> Iterable[ServiceT]:
        """Without Faust's own bookkeeping of every message: the heartbeat tells what is asked for."""
        dependencies: Iterable[ServiceT] = super().on_init_dependencies()
        self.sensors.remove(self.monitor)
        return dependencies

    async def on_start(self) -> None:
        await self.services.start()
        gc.freeze()  # Faust collects whenever a rebalance waits: 0.1 s each, nearly all for what was loaded by now
        log.info("worker starts", group=self.conf.id, slot=self.slot)
        await super().on_start()

    async def on_stop(self) -> None:
        # A stop waits for what is in flight; with Redis or Kafka away it would wait for ever. What was not
        # acknowledged is delivered again, so leaving in the middle is safe.
        leaving = threading.Timer(STOP_SECONDS, os._exit, [1])
        leaving.daemon = True
        leaving.start()
        await super().on_stop()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        await self.services.stop()


def create_app(settings: Settings, role: str, slot: int) -> WorkerApp:
    """The app of one role. `slot` names this worker in its group, where the broker has static membership: a restart
    in the same slot gets its partitions back without a rebalance."""
    servers = settings.require("KAFKA_BOOTSTRAP_SERVERS").split(",")
    app = WorkerApp(
        GROUPS[role],
        broker=[f"kafka://{server}" for server in servers],
        store="memory://",
        processing_guarantee="at_least_once",
        broker_session_timeout=6,  # the least that Kafka takes; a killed worker's partitions idle that long
        broker_heartbeat_interval=2,
        broker_rebalance_timeout=10,
        broker_request_timeout=30,
        broker_commit_interval=1.0,
        stream_wait_empty=True,
        stream_buffer_maxsize=BUFFERED_MESSAGES,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_MS,
        consumer_group_instance_id=f"reelstream-{role}-{slot}" if settings.kafka_static_membership else None,
        topic_partitions=settings.kafka_partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        web_enabled=False,
        worker_redirect_stdouts=False,
        autodiscover=False,
        reply_create_topic=False,
    )
    app.slot = slot
    wait = settings.kafka_fetch_max_wait_ms
    transport = transport_class(wait) if role == "learn" else transport_class(**LATE_FETCH)
    app.transport = transport(app.conf.broker_consumer, app)
    if role == "learn":
        app.services = learning = LearnServices(settings)
        _learn(app, learning)
    elif role == "models":
        app.services = teaching = ModelsServices(settings)
        _teach(app, teaching)
    else:
        app.services = recording = RecordServices(settings)
        _record(app, recording)
    beat = HeartbeatWriter(app, app.services, role, slot)

    watchdog = Watchdog(beat.owned, app.services.progress, app.services.log_reader)

    async def read_log_ids(*_: object, **__: object) -> None:
        await app.services.read_log_ids()

    app.on_partitions_assigned.connect(read_log_ids, weak=False)

    @app.task
    async def keep_beating() -> None:
        while not app.should_stop:
            await beat.beat()
            await app.sleep(heartbeat.INTERVAL_SECONDS)

    @app.task
    async def watch() -> None:
        await watchdog.run()

    return app


def _learn(app: WorkerApp, services: LearnServices) -> None:
    _listen(app, "interactions", InteractionsAgent(services), topics.INTERACTIONS, INTERACTIONS_PACE)
    _listen(app, "posts", PostsAgent(services), topics.POSTS)
    _listen(app, "users", UsersAgent(services), topics.USERS)
    _listen(app, "items", ItemsAgent(services), topics.ITEM_SIGNALS, ITEMS_PACE)
    _listen(app, "impressions", ImpressionsAgent(services), topics.IMPRESSIONS)
    publisher = TrendingPublisher(services)
    keeper = StateKeeper(services)

    @app.task
    async def keep_state() -> None:
        while not app.should_stop:
            await keeper.check()
            await app.sleep(state_keeper.INTERVAL_SECONDS)

    @app.task
    async def publish_trending() -> None:
        while not app.should_stop:
            await app.sleep(services.settings.trending_interval_seconds)
            if TP(topics.ITEM_SIGNALS, 0) in app.consumer.assignment():
                try:
                    await publisher.publish()
                except (RedisError, KafkaError, OSError, TimeoutError) as error:
                    log.warning("trending not published, trying again", error=repr(error))


def _teach(app: WorkerApp, services: ModelsServices) -> None:
    learner = LearnerAgent(services)
    _listen(app, "learner", learner, topics.LEARNING, LEARNER_PACE, LEARNER_MESSAGES, learner.leave)

    @app.task
    async def publish_learnt() -> None:
        while not app.should_stop:
            await app.sleep(PUBLISH_SECONDS)
            if LEARNING in app.consumer.assignment():
                await learner.publish()

    @app.task
    async def catch_up() -> None:
        while not app.should_stop:
            await app.sleep(PUBLISH_SECONDS)
            if LEARNING in app.consumer.assignment():
                await learner.catch_up(app.consumer._committed_offset.get(LEARNING) or 0)

    async def leave(*_: object, **__: object) -> None:
        await learner.leave()

    app.on_before_shutdown.connect(leave, weak=False)


def _record(app: WorkerApp, services: RecordServices) -> None:
    _listen(app, "event-log", EventLogAgent(services), topics.INTERACTIONS, RECORD_PACE)
    _listen(app, "post-log", CatalogueLogAgent(services, topics.POSTS), topics.POSTS, RECORD_PACE)
    _listen(app, "user-log", CatalogueLogAgent(services, topics.USERS), topics.USERS, RECORD_PACE)
    _listen(app, "impression-log", ImpressionLogAgent(services), topics.IMPRESSIONS, RECORD_PACE)
    _listen(app, "trending-log", TrendingLogAgent(services), topics.TRENDING, RECORD_PACE)

    @app.task
    async def keep_partitions() -> None:
        while not app.should_stop:
            await keep_months(services)
            await app.sleep(MONTHS_SECONDS)


def _listen(
    app: WorkerApp, name: str, agent: Agent, topic: str, pace: Pace = STEADY, most: int | None = None,
    leave: Callable[[], Awaitable[None]] | None = None,
) -> None:  # fmt: skip
    """most: messages held at a time, by Faust and in a batch. leave: awaited before a partition is forgotten."""
    channel = app.topic(topic, schema=RawSchema(), maxsize=most)

    async def listen(stream: faust.Stream) -> None:
        await apply_batches(stream, agent, app.services.progress, pace, most or MOST_MESSAGES)

    async def forget_revoked(_: faust.App, revoked: set[TP], **__: object) -> None:
        for tp in revoked:
            if tp.topic == topic:
                if leave is not None:
                    await leave()
                agent.forget(tp.partition)

    app.agent(channel, name=name)(listen)
    app.on_partitions_revoked.connect(forget_revoked, weak=False)
