"""The users of one partition as the worker holds them: their states, the seen event ids, and the mark."""

from collections.abc import Collection
from typing import Any

from redis.asyncio import Redis

from online_models.event_ids import SeenEventIds, stored_blocks
from schemas import keys, marks
from schemas.generation import Generation
from schemas.guests import is_guest, state_ttl
from schemas.marks import InteractionsMark
from schemas.user_state import UserState

from .commit import SET_EXPIRING, Command, Committer
from .generations import current, mark_of
from .user_record import RecordAway, UserRecord

MOST_USERS = 5_000
"""States kept between batches, a partition: 10 KB each at 50 events."""


class UserShard:
    """Loaded when the partition's first batch comes, dropped when anything fails or the partition goes.

    record: where users are looked for that Redis doesn't have; None where there is no record.
    """

    def __init__(
        self, redis: Redis, partition: int, log_id: str, generation: Generation, stored_mark: bytes,
        mark: InteractionsMark, ids: SeenEventIds, incomplete: set[str], record: UserRecord | None,
    ) -> None:  # fmt: skip
        self._redis = redis
        self._generation = generation
        self._stored_mark = stored_mark
        self._mark = mark
        self._record = record
        self._incomplete = incomplete
        self._stored_incomplete = set(incomplete)
        self.partition = partition
        self.log_id = log_id
        self.ids = ids
        self.users: dict[str, UserState] = {}

    @classmethod
    async def load(cls, redis: Redis, partition: int, log_id: str, record: UserRecord | None) -> "UserShard":
        generation = await current(redis)
        stored, mark = await mark_of(redis, generation, keys.interactions_mark(partition), InteractionsMark)
        blocks: Any = await redis.mget([keys.event_ids(partition, number) for number in stored_blocks(mark.block)])
        names: Any = await redis.smembers(keys.incomplete_users(partition))
        incomplete = {name.decode() for name in names}
        ids = SeenEventIds(mark.block, blocks)
        return cls(redis, partition, log_id, generation, stored, mark, ids, incomplete, record)

    @property
    def applied(self) -> int:
        return self._mark.applied(self.log_id)

    @property
    def built(self) -> int:
        """Own events up to this offset are in the state already; -1 for a log that is new."""
        return self._mark.built if self._mark.log == self.log_id else -1

    @property
    def generation(self) -> str:
        return self._generation.id

    async def load_users(self, usernames: Collection[str]) -> None:
        """Makes sure that `users` has them; a user nobody has met gets an empty state."""
        missing = [name for name in usernames if name not in self.users]
        if missing:
            stored: Any = await self._redis.mget([keys.user_state(self.partition, name) for name in missing])
            self.users |= {name: UserState.decode(payload) for name, payload in zip(missing, stored, strict=True)}
            if self._record is not None and self._record.may_hold_more_than(self._generation):
                found = zip(missing, stored, strict=True)
                unknown = [name for name, payload in found if payload is None and not is_guest(name)]
                await self._ask_record(self._record, unknown, whole=False)
        if self._record is not None and (unfinished := self._incomplete.intersection(usernames)):
            await self._ask_record(self._record, unfinished, whole=True)

    async def _ask_record(self, record: UserRecord, usernames: Collection[str], whole: bool) -> None:
        if not usernames:
            return
        try:
            self.users |= await record.states(self.partition, usernames, self._mark, whole=whole)
            self._incomplete.difference_update(usernames)
        except RecordAway:
            self._incomplete.update(usernames)

    async def commit(
        self, committer: Committer, offset: int, usernames: Collection[str], hashes: list[int], ttl: int,
        forgotten: str | None = None,
    ) -> None:  # fmt: skip
        """Writes what a batch changed, its event ids and the new mark, in one transaction. Raises Conflict.

        ttl: seconds until the state of a user without events leaves Redis; that of a guest stays for less
        (schemas.guests). forgotten: whose state leaves it now.
        """
        tag = self.partition
        states: dict[int, list[str | bytes]] = {}
        for name in usernames:
            states.setdefault(state_ttl(name, ttl), []).extend((keys.user_state(tag, name), self.users[name].encode()))
        commands: list[Command] = [(SET_EXPIRING, lasting, *values) for lasting, values in states.items()]
        commands += id_commands(tag, self.ids, hashes)
        if forgotten is not None:
            self.users.pop(forgotten, None)
            self._incomplete.discard(forgotten)
            commands.append(("DEL", keys.user_state(tag, forgotten)))
        if came := self._incomplete - self._stored_incomplete:
            commands.append(("SADD", keys.incomplete_users(tag), *came))
        if completed := self._stored_incomplete - self._incomplete:
            commands.append(("SREM", keys.incomplete_users(tag), *completed))
        moved = InteractionsMark(self.generation, self.log_id, offset, self.ids.block, self.built)
        payload = marks.encode(moved)
        await committer.commit(keys.interactions_mark(tag), self._stored_mark, payload, commands)
        self._stored_mark, self._mark = payload, moved
        self._stored_incomplete = set(self._incomplete)
        while len(self.users) > MOST_USERS:
            del self.users[next(iter(self.users))]


def id_commands(partition: int, ids: SeenEventIds, hashes: list[int]) -> list[Command]:
    """Adds event ids to the window, and writes what that changes of its blocks."""
    commands: list[Command] = []
    for block, packed in ids.add(hashes).items():
        if block < ids.block:  # it is full; written at once it takes half of what APPEND has reserved for it
            commands.append(("SET", keys.event_ids(partition, block), ids.full_block(block)))
        else:
            commands.append(("APPEND", keys.event_ids(partition, block), packed))
        if ids.expired >= 0:
            commands.append(("DEL", keys.event_ids(partition, ids.expired)))
    return commands
