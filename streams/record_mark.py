"""Record marks: how far PostgreSQL has a partition of a log, moved in the transaction that writes its rows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from .batches import Conflict

_NEWEST = """
SELECT log_number, log, log_offset FROM log_marks WHERE topic = $1 AND log_partition = $2
ORDER BY log_number DESC LIMIT 1
"""
_BEGIN = """
INSERT INTO log_marks (topic, log_partition, log_number, log, log_offset) VALUES ($1, $2, $3, $4, -1)
ON CONFLICT DO NOTHING
"""
_MOVE = """
UPDATE log_marks SET log_offset = $5 WHERE topic = $1 AND log_partition = $2 AND log_number = $3 AND log_offset = $4
"""


class RecordMark:
    """The mark of one partition as this worker left it. number: of the log among those the partition has had."""

    def __init__(self, topic: str, partition: int, number: int, applied: int) -> None:
        self._topic, self._partition = topic, partition
        self.number, self.applied = number, applied

    @classmethod
    async def load(cls, pool: asyncpg.Pool, topic: str, partition: int, log: str) -> "RecordMark":
        """Where the partition of this log is; a log that is new gets the next number and begins at -1."""
        newest = await pool.fetchrow(_NEWEST, topic, partition)
        if newest is not None and newest["log"] == log:
            return cls(topic, partition, newest["log_number"], newest["log_offset"])
        number = newest["log_number"] + 1 if newest else 1
        await pool.execute(_BEGIN, topic, partition, number, log)
        return cls(topic, partition, number, -1)

    @asynccontextmanager
    async def moving(self, pool: asyncpg.Pool, offset: int) -> AsyncIterator[asyncpg.Connection]:
        """A transaction that moves the mark to `offset` together with what is written in it.

        Raises Conflict when another worker moved it; then nothing is written.
        """
        async with pool.acquire() as connection, connection.transaction():
            moved = await connection.execute(_MOVE, self._topic, self._partition, self.number, self.applied, offset)
            if moved != "UPDATE 1":
                raise Conflict(f"the record of {self._topic}-{self._partition} was moved by another worker")
            yield connection
        self.applied = offset
