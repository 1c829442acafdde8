"""Rebuild: the state in Redis built anew from the record in PostgreSQL; from where that ends, the log goes on.

Order: a new generation is declared and every mark is taken, which fences off all workers; posts, users and events are
learnt from one snapshot of the record; then the marks are set to where the record ends, and the workers read the rest
from the log. User states are replaced one by one, so that feeds go on with the old ones until the new ones are there;
of the posts, mirrors keep what they have until the generation is ready. Whoever rebuilds is fenced in the same way:
one that was paused, and another took over, writes nothing.
"""

import time
import uuid
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis

from online_models.event_ids import BLOCK_IDS, BLOCKS, SeenEventIds, event_hash
from schemas import generation, keys, marks, topics
from schemas.generation import Generation
from schemas.marks import InteractionsMark, Mark, RowsMark
from schemas.settings import Settings

from .commit import Committer
from .groups import LEARN_GROUP, committed
from .rebuild_lock import rebuild_lock
from .record_snapshot import Ends, RecordSnapshot
from .relearning import Relearning
from .state_keys import Fence, delete_learnt, delete_users_not_in
from .user_shard import id_commands

log = structlog.get_logger()
Tell = Callable[[Generation], None]
SOURCES = (topics.INTERACTIONS, topics.POSTS, topics.USERS)
"""What stage 1 reads."""


class Rebuild:
    """One rebuild. pool: None where there is no record; then everything comes from the log."""

    def __init__(self, redis: Redis, pool: asyncpg.Pool | None, settings: Settings, tell: Tell) -> None:
        self._redis = redis
        self._pool = pool
        self._settings = settings
        self._tell = tell
        self._committer = Committer(redis)
        self._stored = b""

    async def run(self, reason: str) -> bool:
        """False when somebody else is rebuilding.

        Raises Conflict when somebody took over, and RedisError, PostgresError, KafkaError or OSError when a service
        does not answer; then the next rebuild begins from the start.
        """
        async with rebuild_lock(self._redis, generation.LOCK_SECONDS) as ours:
            if not ours:
                return False
            building = Generation(id=uuid.uuid4().hex, reason=reason, started_at=time.time())
            fence = await self._declare(building)
            ends: Ends = {}
            blocks: dict[int, int] = {}
            applied = await committed(self._settings, LEARN_GROUP, SOURCES)
            if self._pool is not None:
                async with RecordSnapshot.of(self._pool) as snapshot:
                    blocks = await self._build(building, snapshot, fence)
                    ends = await snapshot.marks()
            await self._finish(building, fence, ends, blocks, applied)
        return True

    async def _declare(self, building: Generation) -> Fence:
        """A new generation, not ready; every mark belongs to it and says nothing, so that no worker can write."""
        stored: Any = await self._redis.get(keys.GENERATION)
        self._stored = stored or b""
        await self._say(building)
        log.warning("the state is rebuilt", reason=building.reason, generation=building.id)
        fence: Fence = {}
        for key, kind in marks.all_keys(self._settings.kafka_partitions).items():
            held: Any = await self._redis.get(key)
            fence[key] = marks.encode(kind(building.id))
            await self._committer.commit(key, held or b"", fence[key], [])
        return fence

    async def _build(self, building: Generation, snapshot: RecordSnapshot, fence: Fence) -> dict[int, int]:
        """Learns from the record. Returns the newest block of event ids of each partition."""
        had_users = await delete_learnt(self._redis, self._committer, fence)
        building.total = await snapshot.count_events()
        relearning = Relearning(self._redis, self._committer, self._settings, fence)
        await relearning.posts_and_users(snapshot)
        blocks: dict[int, int] = {}
        for partition in range(self._settings.kafka_partitions):
            async for done in relearning.events(snapshot, partition):
                building.done += done
                await self._say(building)
            blocks[partition] = await self._window(snapshot, partition, fence)
            await self._say(building)
        building.complete = not relearning.left_out
        if had_users:
            await delete_users_not_in(snapshot, self._redis, self._committer, fence)
        return blocks

    async def _window(self, snapshot: RecordSnapshot, partition: int, fence: Fence) -> int:
        """Writes the window of seen event ids from the newest of the record; returns the number of its last block."""
        ids, mark = SeenEventIds(0, [None]), keys.interactions_mark(partition)
        hashes = [event_hash(*row) for row in await snapshot.event_ids(partition, BLOCKS * BLOCK_IDS)]
        for start in range(0, len(hashes), BLOCK_IDS):
            commands = id_commands(partition, ids, hashes[start : start + BLOCK_IDS])
            await self._committer.commit(mark, fence[mark], fence[mark], commands)
        return ids.block

    async def _finish(
        self,
        building: Generation,
        fence: Fence,
        ends: Ends,
        blocks: dict[int, int],
        applied: dict[tuple[str, int], int],
    ) -> None:
        """Sets the marks of stage 1 to where the record ends, and lets the workers go on from there.

        Stage 1 may have been behind the record: what a stranger misplaced is not sent on yet, what is refused is not
        told yet. So it reads again from what its group has committed.
        """
        for partition in range(self._settings.kafka_partitions):
            last: dict[str, tuple[str, int]] = {}
            for topic in SOURCES:
                log_id, recorded = ends.get((topic, partition), ("", -1))
                last[topic] = log_id, min(recorded, applied[topic, partition] - 1)
            built, block = ends.get((topics.INTERACTIONS, partition), ("", -1))[1], blocks.get(partition, 0)
            final: dict[str, Mark] = {
                keys.interactions_mark(partition): InteractionsMark(
                    building.id, *last[topics.INTERACTIONS], block, built
                ),
                keys.posts_mark(partition): RowsMark(building.id, *last[topics.POSTS]),
                keys.users_mark(partition): RowsMark(building.id, *last[topics.USERS]),
            }
            for key, mark in final.items():
                await self._committer.commit(key, fence[key], marks.encode(mark), [])
        building.ended_at = time.time()
        await self._say(building)
        seconds = round(building.ended_at - building.started_at, 1)
        log.warning("the state is built", generation=building.id, events=building.done, seconds=seconds)

    async def _say(self, building: Generation) -> None:
        """Writes how far it is, unless another rebuild took over."""
        payload = generation.encode(building)
        await self._committer.commit(keys.GENERATION, self._stored, payload, [])
        self._stored = payload
        self._tell(building)
