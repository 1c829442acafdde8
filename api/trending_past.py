"""What was trending in the last hour, a list a minute: in Redis, so that it survives a restart and is one for all."""

import asyncio
import struct
import time
from array import array

import numpy as np
import structlog
from redis.exceptions import RedisError

from schemas import keys
from schemas.columns import pack, unpack

from .catalogue import Catalogue
from .masks import younger_than
from .mirror import Mirror
from .redis import RedisBytes
from .stages import Mask, Query, Slots
from .trending import NAMES, ranked

MINUTE = 60.0
MINUTES = 60
TTL_SECONDS = 7_200
DEPTH = 500
"""Posts of each window that are kept: 4.5 KB a minute."""
_HEADER = struct.Struct("<dHHH")

_log = structlog.get_logger()


class TrendingPast:
    """The first process that finds the newest list a minute old adds the next one; all read what is there."""

    def __init__(self, redis: RedisBytes, mirror: Mirror, max_age_days: float | None = None) -> None:
        self._redis = redis
        self._max_age_days = max_age_days
        self._mirror = mirror
        self._samples: list[tuple[float, bytes]] = []
        self._read: tuple[float, list[array[int]]] = (0.0, [])

    async def run(self) -> None:
        """For ever. Without Redis, what was read last stays."""
        while True:
            try:
                await self._refresh(time.time())
            except (RedisError, OSError) as error:
                _log.warning("what was trending is not kept: Redis does not answer", error=str(error))
            await asyncio.sleep(MINUTE / 4)

    async def _refresh(self, now: float) -> None:
        await self._load()
        if self._mirror.problem is None and (not self._samples or now - self._samples[0][0] >= MINUTE):
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.lpush(keys.TRENDING_PAST, self._sample(now)).ltrim(keys.TRENDING_PAST, 0, MINUTES)
            pipeline.expire(keys.TRENDING_PAST, TTL_SECONDS)
            await pipeline.execute()
            await self._load()

    async def _load(self) -> None:
        payloads = await self._redis.pipeline(transaction=False).lrange(keys.TRENDING_PAST, 0, -1).execute()
        self._samples = [(_HEADER.unpack_from(payload)[0], payload) for payload in payloads[0]]

    def _sample(self, now: float) -> bytes:
        catalogue = self._mirror.catalogue
        query = Query("", now, catalogue)
        kept = self.shown_to_all(query)
        tops = [catalogue.ids[ranked(query, kept, window, DEPTH)[0]].tolist() for window in NAMES]
        columns = [part for top in tops for part in pack(array("Q", top))]
        return b"".join([_HEADER.pack(now, *map(len, tops)), *columns])

    def shown_to_all(self, query: Query) -> Mask:
        """(N,): what may be listed, whoever reads."""
        kept = query.catalogue.servable[: query.catalogue.size].copy()
        if self._max_age_days is not None:
            kept &= younger_than(query, self._max_age_days, np.arange(len(kept)))
        return kept

    def of(self, catalogue: Catalogue, window: str, now: float) -> tuple[float | None, Slots]:
        """When, and which slots in their order: an hour ago, or as long ago as is known; None and nothing before."""
        if not self._samples:
            return None, np.empty(0, np.int64)
        old = [sample for sample in self._samples if now - sample[0] >= MINUTE * MINUTES]
        at, payload = old[0] if old else self._samples[-1]
        if self._read[0] != at:
            self._read = at, _lists(payload)
        return at, catalogue.known_slots(self._read[1][NAMES.index(window)])


def _lists(payload: bytes) -> list["array[int]"]:
    _, *counts = _HEADER.unpack_from(payload)
    place, lists = _HEADER.size, []
    for count in counts:
        posts, place = unpack(payload, place, count)
        lists.append(posts)
    return lists
