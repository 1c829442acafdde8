"""What a rebuild learns from the record: the same estimators, fed user by user instead of by the clock.

Each user is learnt whole and written once; what that tells the posts goes straight to their shards. The sums of stage 2
don't depend on the order of arrival, only the pruning of neighbours does.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from online_models import user_history
from schemas import keys, marks
from schemas.events import TYPE_CODES
from schemas.guests import is_guest, state_ttl
from schemas.marks import ItemsMark
from schemas.settings import Settings
from schemas.signals import PostChanged
from schemas.topics import owner, post_owner
from schemas.user_state import UserState
from schemas.users import decode_user

from .commit import Command, Committer
from .item_shard import ItemShard
from .record_snapshot import RecordSnapshot
from .state_keys import Fence
from .touch_writer import TouchWriter
from .user_record import history_event
from .users import profile_command

SLICE = 500
"""Events between two turns of the event loop: about 20 ms."""
USERS_A_COMMIT = 1_000
CHUNKS_A_COMMIT = 10
"""Of 5,000 events: a post that many touch is written once for all of them."""


class Relearning:
    """left_out: some user was idle for so long that the state was left to the record."""

    def __init__(self, redis: Redis, committer: Committer, settings: Settings, fence: Fence) -> None:
        self._committer = committer
        self._settings = settings
        self._fence = fence
        self._partitions = settings.kafka_partitions
        self._shards: list[ItemShard] = []
        for partition in range(self._partitions):
            stored = fence[keys.items_mark(partition)]
            mark = marks.decode(stored, ItemsMark)
            self._shards.append(ItemShard(redis, partition, "", stored, mark, set(), announce=False))
        self._now = datetime.now(UTC)
        self.left_out = False

    async def posts_and_users(self, snapshot: RecordSnapshot) -> None:
        """The catalogue and the profiles."""
        async for posts in snapshot.posts():
            told: dict[int, list[PostChanged]] = {}
            for post in posts:
                told.setdefault(post_owner(post.id, self._partitions), []).append(PostChanged(0, 0, post.id, post))
            for target, changed in told.items():
                await self._shards[target].learn_posts(changed)
            await self._commit_posts()
        async for rows in snapshot.users():
            commands: dict[int, list[Command]] = {}
            for username, row in rows:
                home = owner(username, self._partitions)
                user = decode_user(row.encode())
                commands.setdefault(home, []).append(profile_command(home, username, user, self._settings.user_ttl))
            for home, writes in commands.items():
                await self._write(keys.users_mark(home), writes)

    async def events(self, snapshot: RecordSnapshot, partition: int) -> AsyncIterator[int]:
        """Learns the events of a partition of users; yields how many at a time."""
        username, state, last = "", UserState(), self._now
        writes: list[Command] = []
        touches, chunks = TouchWriter(self._partitions), 0
        async for rows in snapshot.events(partition):
            for number, row in enumerate(rows):
                if row["username"] != username:
                    writes += self._user(partition, username, state, last)
                    username, state = row["username"], UserState()
                last = row["recorded_at"]
                self._learn(state, row, touches)
                if number % SLICE == 0:
                    await asyncio.sleep(0)
            for target, told in touches.split():
                await self._shards[target].learn_touches(told)
            chunks += 1
            if chunks % CHUNKS_A_COMMIT == 0:
                await self._commit_posts()
            if len(writes) >= USERS_A_COMMIT:
                await self._write(keys.interactions_mark(partition), writes)
                writes = []
            yield len(rows)
        writes += self._user(partition, username, state, last)
        await self._write(keys.interactions_mark(partition), writes)
        await self._commit_posts()

    def _learn(self, state: UserState, row: Any, touches: TouchWriter) -> None:
        effect = user_history.learn_one(state, history_event(row), self._settings.interaction_weights)
        if effect.delta:
            touches.add(0, 0, row["post_id"], row["at"], TYPE_CODES[row["interaction_type"]], effect)

    def _user(self, partition: int, username: str, state: UserState, last: datetime) -> list[Command]:
        """Writes a user's state with what is left of its time; nothing when that is over."""
        left = state_ttl(username, self._settings.user_ttl) - int((self._now - last).total_seconds())
        if not username or left <= 0:
            self.left_out |= bool(username) and not is_guest(username)
            return []
        return [("SET", keys.user_state(partition, username), state.encode(), "EX", left)]

    async def _commit_posts(self) -> None:
        for shard in self._shards:
            await shard.commit(self._committer, -1)

    async def _write(self, mark: str, commands: list[Command]) -> None:
        await self._committer.commit(mark, self._fence[mark], self._fence[mark], commands)
