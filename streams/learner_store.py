"""Where the learner keeps what it learnt: vectors and weights for the API, snapshots to resume from."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import asyncpg
import numpy as np
import structlog
from numpy.typing import NDArray
from redis.asyncio import Redis

from online_models.recommender import Changed
from schemas import factors, keys, learnt
from schemas.errors import ReelstreamError
from schemas.factors import LearnerMark, Snapshot

from . import learner_record
from .batches import Conflict
from .commit import SET_EXPIRING, Command, Committer

AT_ONCE = 500
"""Posts or users in a transaction: .4 MB, some 4 ms. Lua's unpack takes some 8,000 arguments."""
CHANGES_BYTES = 1 << 20
"""Of the change stream, roughly; a reader that is further behind loads everything again."""
LEAST_CHANGES, MOST_CHANGES = 64, 4_096
ORPHAN_SECONDS = 600
"""After which chunks that no pointer names are gone: those of a snapshot that was not finished."""
log = structlog.get_logger()

State = dict[str, NDArray[Any]]


class LearnerStore:
    """One owner's hold of it. Two owners for a moment do no harm: only the one that came last can write.

    pool: None where there is no record.
    """

    def __init__(self, redis: Redis, committer: Committer, pool: asyncpg.Pool | None) -> None:
        self._redis = redis
        self._committer = committer
        self._pool = pool
        self._stored = b""
        self._mark = LearnerMark()
        self._weights = b""

    async def claim(self) -> list[Snapshot]:
        """Takes over: whoever was here before writes no more. Returns what there is to resume from, newest first."""
        stored: Any = await self._redis.get(keys.LEARNER_MARK)
        found = factors.decode_mark(stored)
        pointer: Any = await self._redis.get(keys.LEARNER_SNAPSHOT)
        kept = factors.decode_snapshot(pointer)
        snapshots = [kept] if kept is not None else []
        if self._pool is not None:
            try:
                snapshots += await learner_record.snapshots(self._pool)
            except learner_record.AWAY as error:
                if kept is None:  # it is worth waiting for
                    raise
                log.warning("the record of the learner's snapshots does not answer", error=repr(error))
        snapshots.sort(key=lambda each: -each.version)
        newest = snapshots[0].version if snapshots else 0
        mark = LearnerMark(uuid4().hex, max(found.version, newest, self._mark.version) + 1, found.width)
        self._stored, self._weights = stored or b"", b""
        await self._move(mark, [])
        return snapshots

    async def read(self, snapshot: Snapshot) -> State | None:
        """The state of a snapshot, from whichever has it; None when it can't be read."""
        names = [keys.learner_snapshot(snapshot.version, chunk) for chunk in range(snapshot.chunks)]
        found: Any = [await self._redis.get(name) for name in names]
        if None in found and self._pool is not None:
            found = await learner_record.chunks(self._pool, snapshot.version)
        chunks = [chunk for chunk in found if chunk is not None]
        try:
            return await asyncio.to_thread(factors.decode_state, chunks, snapshot.digest)
        except ReelstreamError as error:
            log.error("a snapshot of the learner is left out", version=snapshot.version, error=str(error))
            return None

    async def publish(self, changed: Changed, weights: bytes, whole: bool) -> None:
        """Writes what changed. whole: these are all posts there are, others go. Raises Conflict, RedisError."""
        gone = changed.gone
        if whole:
            fields: Any = await self._redis.hkeys(keys.LEARNER_VECTORS)
            gone = await asyncio.to_thread(_others, fields, changed.ids)
        width = changed.records.dtype["vectors"].shape[0] if len(changed.ids) else self._mark.width
        for start in range(0, len(changed.ids), AT_ONCE):
            ids = changed.ids[start : start + AT_ONCE]
            values: list[int | bytes] = []
            for post_id, record in zip(ids.tolist(), changed.records[start : start + AT_ONCE], strict=True):
                values += (post_id, record.tobytes())
            await self._tell(("HSET", keys.LEARNER_VECTORS, *values), ids, width)
        for start in range(0, len(gone), AT_ONCE):
            ids = gone[start : start + AT_ONCE]
            await self._tell(("HDEL", keys.LEARNER_VECTORS, *ids.tolist()), ids, width)
        await self._publish_users(changed, width)
        if changed.ease or whole:
            told: Command = ("SET", keys.LEARNER_EASE, changed.ease) if changed.ease else ("UNLINK", keys.LEARNER_EASE)
            await self._move(self._next(width), [told, _change("ease", b"1", MOST_CHANGES)])
        if weights != self._weights:
            await self._move(self._next(width), [("SET", keys.LEARNER_WEIGHTS, weights)])
            self._weights = weights
            return
        nothing = not any(len(part) for part in changed) and not len(gone)
        if nothing and await self._redis.get(keys.LEARNER_MARK) != self._stored:
            raise Conflict(f"{keys.LEARNER_MARK} is gone or was moved by another learner")

    async def _publish_users(self, changed: Changed, width: int) -> None:
        for start in range(0, len(changed.users), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            values: list[str | bytes] = []
            for user, vector in zip(changed.users[part].tolist(), changed.own[part], strict=True):
                values += (keys.learnt_user(user), learnt.encode_user(vector))
            await self._move(self._next(width), [(SET_EXPIRING, keys.LEARNT_USER_TTL_SECONDS, *values)])
        for start in range(0, len(changed.strangers), AT_ONCE):
            gone = [keys.learnt_user(user) for user in changed.strangers[start : start + AT_ONCE].tolist()]
            await self._move(self._next(width), [("UNLINK", *gone)])

    async def superseded(self) -> bool:
        """After a Conflict: whether another learner took over. False: Redis lost what was there, or went back."""
        stored: Any = await self._redis.get(keys.LEARNER_MARK)
        found = factors.decode_mark(stored)
        return bool(found.owner) and found.owner != self._mark.owner and found.version >= self._mark.version

    async def save(self, chunks: list[bytes], log_id: str, offset: int) -> Snapshot:
        """Writes a snapshot, then names it, then drops the one before. Raises Conflict, RedisError."""
        mark = self._next(self._mark.width)
        digest = await asyncio.to_thread(factors.digest_of, chunks)
        snapshot = Snapshot(
            version=mark.version, at=time.time(), log=log_id, offset=offset, chunks=len(chunks), digest=digest
        )
        pointer: Any = await self._redis.get(keys.LEARNER_SNAPSHOT)
        former = factors.decode_snapshot(pointer)
        names = [keys.learner_snapshot(snapshot.version, chunk) for chunk in range(len(chunks))]
        for name, chunk in zip(names, chunks, strict=True):
            await self._redis.set(name, chunk, ex=ORPHAN_SECONDS)
        commands: list[Command] = [("PERSIST", name) for name in names]
        commands.append(("SET", keys.LEARNER_SNAPSHOT, factors.encode_snapshot(snapshot)))
        if former is not None:
            commands += [("UNLINK", keys.learner_snapshot(former.version, chunk)) for chunk in range(former.chunks)]
        await self._move(mark, commands)
        return snapshot

    def _next(self, width: int) -> LearnerMark:
        return LearnerMark(self._mark.owner, self._mark.version + 1, width)

    async def _tell(self, command: Command, ids: NDArray[np.int64], width: int) -> None:
        packed = ids.astype("<i8").tobytes()
        kept = min(max(CHANGES_BYTES // len(packed), LEAST_CHANGES), MOST_CHANGES)
        await self._move(self._next(width), [command, _change("ids", packed, kept)])

    async def _move(self, mark: LearnerMark, commands: list[Command]) -> None:
        payload = factors.encode_mark(mark)
        await self._committer.commit(keys.LEARNER_MARK, self._stored, payload, commands)
        self._stored, self._mark = payload, mark


def _change(field: str, value: bytes, kept: int) -> Command:
    return ("XADD", keys.LEARNER_CHANGES, "MAXLEN", "~", kept, "*", field, value)


def _others(fields: list[bytes], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Posts among `fields` that `ids` does not name. In a thread: 40 ms for 100,000."""
    return np.setdiff1d(np.array([int(field) for field in fields], np.int64), ids)
