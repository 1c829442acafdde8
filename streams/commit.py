"""The transaction: all writes of a batch and the new mark, or nothing, in one Redis call.

The mark is also the fence. A worker that was paused while its partitions moved still believes the mark it wrote last;
the new owner has moved it on, so the comparison fails and nothing of the zombie's is written.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from .batches import Conflict

SET_EXPIRING = "SET_EXPIRING"
"""`SET_EXPIRING seconds key value key value …`, which the script takes apart: packing six arguments a key cost a worker
three times as much as these two."""

# Absolute values (SET, ZADD) first and the mark last: were the script cut short, applying it again would do no harm.
_SCRIPT = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
local at = 3
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  if ARGV[at + 1] == 'SET_EXPIRING' then
    for key = at + 3, last, 2 do redis.call('SET', ARGV[key], ARGV[key + 1], 'EX', ARGV[at + 2]) end
  else
    redis.call(unpack(ARGV, at + 1, last))
  end
  at = last + 1
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

Command = Sequence[str | bytes | int | float]


class Committer:
    """Commits batches to one Redis. All keys of a commit carry the hash tag of its mark: one slot."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_SCRIPT)

    async def commit(self, mark_key: str, expected: bytes, mark: bytes, commands: Sequence[Command]) -> None:
        """Runs `commands` and moves the mark from `expected` (empty: none yet) to `mark`.

        Raises Conflict when the mark is another; then nothing was written.
        """
        arguments: list[str | bytes | int | float] = [expected, mark]
        for command in commands:
            arguments.append(len(command))
            arguments.extend(command)
        if not await self._script(keys=[mark_key], args=arguments):
            raise Conflict(f"{mark_key} was moved by another worker")
