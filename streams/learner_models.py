"""The global models as one owner holds them: taught, published and saved in a thread, one call at a time."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from online_models.recommender import SAMPLE, Changed, Recommender
from schemas import factors, learning
from schemas.errors import ContractError
from schemas.learning import LearningBatch, Shown
from schemas.posts import Post
from schemas.topics import LEARNING

from . import learner_record
from .batches import Conflict
from .learner_store import LearnerStore, State
from .record import Record
from .record_snapshot import RecordSnapshot
from .services import ModelsServices

LATE_SECONDS = 60.0
LATE_STEP = 8
"""Of what is older than LATE_SECONDS when its turn comes, one event in LATE_STEP is learnt: so the learner is a minute
behind at most, as long as stage 1 is not eight times as fast as it. After a stop of up to a minute it learns all."""
RANKED = 50
"""Positives of a minibatch that are ranked, at most: 1 ms each. A backlog of 100,000 events would take a core
for a minute otherwise, in which nothing is published."""
MINIBATCH = 2_000
"""Events taught at once: publications have their turn in between."""
log = structlog.get_logger()

T = TypeVar("T")


class LearnerModels:
    """applied: offset of the last message that was learnt; -1: none of this log. metrics: of the last publication."""

    def __init__(self, services: ModelsServices, store: LearnerStore, recommender: Recommender, applied: int) -> None:
        self._counters = services.progress.counters
        self._pool = services.pool
        self._log_id = services.log_ids[LEARNING]
        self._store = store
        self._recommender = recommender
        self._turn = asyncio.Lock()
        self._whole, self._reload = True, False
        self.applied = applied
        self.metrics: dict[str, float] = {}

    @classmethod
    async def load(cls, services: ModelsServices) -> "LearnerModels":
        """Takes over, and resumes from the newest snapshot that can be read; without one, begins with the posts of the
        record. Raises Conflict, RedisError, PostgresError or OSError."""
        store = LearnerStore(services.redis, services.committer, services.pool)
        for snapshot in await store.claim():
            state = await store.read(snapshot)
            recommender = await asyncio.to_thread(_resumed, state) if state is not None else None
            if recommender is not None:
                applied = snapshot.offset if snapshot.log == services.log_ids[LEARNING] else -1
                log.info("learner resumes", version=snapshot.version, offset=applied, age=time.time() - snapshot.at)
                return cls(services, store, recommender, applied)
        recommender = Recommender()
        if services.pool is not None:
            async with RecordSnapshot.of(services.pool) as record:
                async for posts in record.posts():
                    await asyncio.to_thread(recommender.learn_posts, [(post.id, post) for post in posts])
        log.info("learner begins anew")
        return cls(services, store, recommender, -1)

    async def learn(self, records: list[Record]) -> list[tuple[Record, ContractError]]:
        """Teaches what is new among messages; returns those that are refused."""
        fresh = [record for record in records if record.offset > self.applied]
        late_before = time.time() - LATE_SECONDS
        refused: list[tuple[Record, ContractError]] = []
        posts: list[tuple[int, Post | None]] = []
        shown: list[Shown] = []
        batches: list[LearningBatch] = []
        for record in fresh:
            try:
                message = await asyncio.to_thread(learning.decode, record.value or b"")
            except ContractError as error:
                refused.append((record, error))
                continue
            late = 0 < record.at < late_before
            posts += message.posts
            # Clicks on late ones would be missing: seven of eight, or all, when the topic was never read before.
            timely = [page for page in message.shown if page.at >= late_before]
            self._counters["late_pages"] += len(message.shown) - len(timely)
            shown += timely
            if (events := message.events) is not None:
                kept = events.every(LATE_STEP) if late else events
                self._counters["sampled_out"] += events.size - kept.size
                batches.append(kept)
            if sum(batch.size for batch in batches) >= MINIBATCH:
                await self._teach(posts, shown, batches)
                posts, shown, batches = [], [], []
        await self._teach(posts, shown, batches)
        if fresh:
            self.applied = fresh[-1].offset
        return refused

    async def publish(self) -> None:
        """Raises Conflict when another learner took over, and RedisError."""
        changed, weights = await self._call(self._changed)
        try:
            await self._store.publish(changed, weights, self._whole)
            self._whole = False
        except Conflict:
            self._whole = self._reload = True
            if await self._store.superseded():
                raise
            log.warning("Redis lost what the learner published: all of it is published again")
            await self._store.claim()
        except BaseException:
            self._whole = self._reload = True  # what of it is written is not known
            raise

    async def save(self, recorded: bool) -> None:
        """A snapshot into Redis, and into PostgreSQL if `recorded`. Raises Conflict, RedisError."""
        offset = self.applied
        chunks = await self._call(lambda: factors.encode_state(self._recommender.state()))
        snapshot = await self._store.save(chunks, self._log_id, offset)
        if recorded and self._pool is not None:
            try:
                await learner_record.save(self._pool, snapshot, chunks)
            except learner_record.AWAY as error:
                log.warning("the learner's snapshot is not recorded", error=repr(error))

    async def _call(self, work: Callable[[], T]) -> T:
        async with self._turn:
            return await asyncio.to_thread(work)

    async def _teach(
        self, posts: list[tuple[int, Post | None]], shown: list[Shown], batches: list[LearningBatch]
    ) -> None:
        """What the models fail at is left out: the next batch is another."""
        size = sum(batch.size for batch in batches)
        try:
            if posts:
                await self._call(lambda: self._recommender.learn_posts(posts))
            if shown:
                await self._call(lambda: self._recommender.learn_shown(shown))
            if batches:
                self._recommender.sample = min(SAMPLE, RANKED / size)
                await self._call(lambda: self._recommender.learn_many(LearningBatch.joined(batches)))
            self._counters["learnt"] += size
        except Exception:
            self._counters["not_learnt"] += size
            log.exception("a batch is not learnt")

    def _changed(self) -> tuple[Changed, bytes]:
        """In a thread."""
        recommender = self._recommender
        if self._reload:  # after it, everything counts as changed
            recommender.load(recommender.state())
            self._reload = False
        self.metrics = recommender.metrics()
        return recommender.changed_vectors(), recommender.weights()


def _resumed(state: State) -> Recommender | None:
    """In a thread; None for a state that these models can't take over."""
    recommender = Recommender()
    try:
        recommender.load(state)
    except Exception:
        log.exception("a snapshot of the learner is of other models")
        return None
    return recommender
