"""The mark of one partition of `posts` or `users`: all that stage 1 keeps of rows."""

from collections.abc import Sequence

from redis.asyncio import Redis

from schemas import marks
from schemas.marks import RowsMark

from .commit import Command, Committer
from .generations import current_mark


class RowsShard:
    """Loaded when the partition's first batch comes, dropped when anything fails or the partition goes."""

    def __init__(self, partition: int, key: str, log_id: str, stored_mark: bytes, mark: RowsMark) -> None:
        self.partition = partition
        self.log_id = log_id
        self.generation = mark.generation
        self.applied = mark.applied(log_id)
        self._key = key
        self._stored_mark = stored_mark

    @classmethod
    async def load(cls, redis: Redis, partition: int, key: str, log_id: str) -> "RowsShard":
        return cls(partition, key, log_id, *await current_mark(redis, key, RowsMark))

    async def commit(self, committer: Committer, offset: int, commands: Sequence[Command]) -> None:
        """Runs commands on keys of the partition and moves the mark to `offset`. Raises Conflict."""
        mark = marks.encode(RowsMark(self.generation, self.log_id, offset))
        await committer.commit(self._key, self._stored_mark, mark, commands)
        self._stored_mark, self.applied = mark, offset
