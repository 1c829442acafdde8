"""The keys of the state as a whole, walked by SCAN: what a rebuild takes away before and after it builds."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator

from redis.asyncio import Redis

from schemas import keys

from .commit import Committer
from .record_snapshot import RecordSnapshot

AT_ONCE = 1_000
_ITEM_SIDE = re.compile(re.escape(keys.PREFIX) + r"\{s(\d+)\}:(?!mark$)")
_OF_USERS = re.compile(re.escape(keys.PREFIX) + r"\{i(\d+)\}:(?:ids:|profile:|incomplete$)")
_USER = re.compile(re.escape(keys.PREFIX) + r"\{i(\d+)\}:user:(.*)", re.DOTALL)

Fence = dict[str, bytes]
"""Key of a mark → what it holds while a rebuild lasts: compared in every write."""


async def delete_learnt(redis: Redis, committer: Committer, fence: Fence) -> bool:
    """Deletes the item side, the seen event ids and the profiles; states of users stay. Returns whether there are any.

    Every deletion compares the fence: raises Conflict when another rebuild took over.
    """
    users = False
    async for names in _scan(redis):
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            if (match := _ITEM_SIDE.match(name)) is not None:
                found[keys.items_mark(int(match[1]))].append(name)
            elif (match := _OF_USERS.match(name)) is not None:
                found[keys.interactions_mark(int(match[1]))].append(name)
            users = users or _USER.match(name) is not None
        await _unlink(committer, fence, found)
    return users


async def delete_users_not_in(snapshot: RecordSnapshot, redis: Redis, committer: Committer, fence: Fence) -> None:
    """Deletes the states of users that have no event in the record. Raises Conflict."""
    async for names in _scan(redis):
        found: defaultdict[int, dict[str, str]] = defaultdict(dict)
        for name in names:
            if (match := _USER.match(name)) is not None:
                found[int(match[1])][match[2]] = name
        for partition, users in found.items():
            known = await snapshot.known_users(partition, users)
            strangers = [name for username, name in users.items() if username not in known]
            await _unlink(committer, fence, {keys.interactions_mark(partition): strangers})


async def _scan(redis: Redis) -> AsyncIterator[list[str]]:
    """The keys of the state in bites. On a Cluster redis-py asks every node."""
    names: list[str] = []
    async for name in redis.scan_iter(f"{keys.PREFIX}{{*", count=AT_ONCE):
        names.append(name.decode())
        if len(names) >= AT_ONCE:
            yield names
            names = []
    yield names


async def _unlink(committer: Committer, fence: Fence, found: dict[str, list[str]]) -> None:
    for mark, names in found.items():
        if names:
            await committer.commit(mark, fence[mark], fence[mark], [("UNLINK", *names)])
