"""The users of one partition as the worker holds them: their states, the seen event ids, and the mark."""

from typing import Any

from redis.asyncio import Redis

from online_models.event_ids import BLOCKS, SeenEventIds
from schemas import keys, marks
from schemas.user_state import UserState

from .commit import Command, Committer

MOST_USERS = 5_000
"""States kept between batches, a partition: 10 KB each at 50 events."""


class UserShard:
    """Loaded when the partition's first batch comes, dropped when anything fails or the partition goes."""

    def __init__(self, redis: Redis, partition: int, stored_mark: bytes, ids: SeenEventIds) -> None:
        self._redis = redis
        self._partition = partition
        self._stored_mark = stored_mark
        self.ids = ids
        self.users: dict[str, UserState] = {}

    @classmethod
    async def load(cls, redis: Redis, partition: int) -> "UserShard":
        stored: Any = await redis.get(keys.interactions_mark(partition)) or b""
        block = marks.decode_interactions_mark(stored).block
        names = [keys.event_ids(partition, number) for number in range(max(block - BLOCKS + 1, 0), block + 1)]
        blocks: Any = await redis.mget(names)
        return cls(redis, partition, stored, SeenEventIds(block, blocks))

    def applied(self, log_id: str) -> int:
        """The last offset of that log whose effects are in Redis; -1 for a log that is new."""
        mark = marks.decode_interactions_mark(self._stored_mark)
        return mark.offset if mark.log == log_id else -1

    async def load_users(self, usernames: set[str]) -> None:
        missing = [name for name in usernames if name not in self.users]
        if missing:
            stored: Any = await self._redis.mget([keys.user_state(self._partition, name) for name in missing])
            for name, payload in zip(missing, stored, strict=True):
                self.users[name] = UserState.decode(payload)

    async def commit(
        self, committer: Committer, log_id: str, offset: int, usernames: set[str], hashes: list[int]
    ) -> None:
        """Writes what a batch changed, its event ids and the new mark, in one transaction. Raises Conflict."""
        tag = self._partition
        commands: list[Command] = [
            ("SET", keys.user_state(tag, name), self.users[name].encode(), "EX", keys.USER_TTL_SECONDS)
            for name in usernames
        ]
        for block, packed in self.ids.add(hashes).items():
            commands.append(("APPEND", keys.event_ids(tag, block), packed))
            if self.ids.expired >= 0:
                commands.append(("DEL", keys.event_ids(tag, self.ids.expired)))
        mark = marks.encode(marks.InteractionsMark(log_id, offset, self.ids.block))
        await committer.commit(keys.interactions_mark(tag), self._stored_mark, mark, commands)
        self._stored_mark = mark
        while len(self.users) > MOST_USERS:
            del self.users[next(iter(self.users))]
