"""Follows what the learner publishes: records of posts, and the blend's weights (api/learnt.py holds them)."""

import asyncio

import numpy as np
import structlog
from redis.exceptions import RedisError

from schemas import ease, factors, keys
from schemas.errors import ReelstreamError
from schemas.learnt import Weights

from .catalogue import Catalogue
from .learnt import Learnt, LearntPosts, read_weights
from .learnt_ease import LearntEase
from .mirror import Gap, Mirror, Place
from .redis import RedisBytes

AT_ONCE = 500
"""Posts read at once: .4 MB, and one or two milliseconds to take them over."""
POLL_SECONDS = 0.5
"""The learner publishes once a second."""
LONGEST_PAUSE_SECONDS = 2.0

_log = structlog.get_logger()


class Factors:
    """weights: of the blend, None before there are any, or when they are of another version. version: of the
    publication. problem: why all this may be out of date, a sentence; None when it is not. What was learnt stays while
    Redis or the learner is away.
    """

    def __init__(self, redis: RedisBytes, mirror: Mirror) -> None:
        self._redis = redis
        self._mirror = mirror
        self._place: Place | None = None
        self._posts: LearntPosts | None = None
        self._packed: bytes | None = None
        self._ease: LearntEase | None = None
        self.weights: Weights | None = None
        self.version = 0
        self.problem: str | None = "nothing is loaded yet"

    def of(self, catalogue: Catalogue) -> Learnt | None:
        """What there is of posts in that catalogue; one that was just exchanged has nothing for a moment."""
        posts = self._posts
        if posts is None or posts.catalogue is not catalogue or self.weights is None:
            return None
        posts.make_room()
        return Learnt(self.version, posts, self.weights, self._ease)

    async def run(self) -> None:
        """Loads and follows for ever; after a failure with back-off."""
        failures = 0
        while True:
            try:
                if self._place is None:
                    self._place = await self._load()
                else:
                    self._place = await self._follow(self._place)
                failures = 0
            except Gap as gap:
                _log.warning("what was learnt is loaded again", reason=str(gap))
                self._place = None
            except (RedisError, OSError) as error:
                self.problem = f"Redis does not answer ({type(error).__name__}); what was learnt is as it was last seen"
                failures += 1
            except Exception as error:
                self.problem = f"{type(error).__name__}: {error}"
                _log.exception("what was learnt is not read, trying again")
                self._place = None
                failures += 1
            await self._mirror.wait_for_exchange(min(POLL_SECONDS * 2**failures, LONGEST_PAUSE_SECONDS))

    async def _load(self) -> Place | None:
        """All there is. The place comes first, so that what changes meanwhile is read again. None: nothing is there.

        Not before the mirror has posts: it takes a catalogue with slots for one that was loaded.
        """
        if not self._mirror.catalogue.size:
            return None
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xinfo_stream(keys.LEARNER_CHANGES)
        pipeline.get(keys.LEARNER_MARK).get(keys.LEARNER_WEIGHTS)
        info, stored, weights = await pipeline.execute(raise_on_error=False)
        place, mark = Place.end_of(info), factors.decode_mark(_sound(stored))
        if not mark.width:
            self.problem = "the learner has published nothing yet, or Redis lost it"
            return None
        posts = LearntPosts(self._mirror.catalogue, mark.width)
        reading = asyncio.ensure_future(self._records(0))
        try:
            more = True
            while more:
                cursor, found = await reading
                if more := bool(cursor):
                    reading = asyncio.ensure_future(self._records(cursor))  # come while these are taken over
                ids, values = [*map(int, found)], [*found.values()]
                for start in range(0, len(ids), AT_ONCE):  # a small hash comes whole, whatever was asked for
                    posts.set(ids[start : start + AT_ONCE], values[start : start + AT_ONCE])
                    await asyncio.sleep(0)
        finally:
            reading.cancel()
        self._posts = posts
        await self._take_ease()
        self._take_weights(_sound(weights))
        self.version, self.problem = mark.version, None
        _log.info("what was learnt is loaded", posts=int(np.count_nonzero(posts.known)), version=mark.version)
        return place

    async def _records(self, cursor: int) -> tuple[int, dict[bytes, bytes]]:
        return await self._redis.hscan(keys.LEARNER_VECTORS, cursor, count=AT_ONCE)

    async def _follow(self, place: Place) -> Place:
        """What changed since `place`; returns the new one. Raises Gap when the stream does not go on from there."""
        posts = self._posts
        if posts is None:
            raise Gap("nothing is loaded")
        if self._mirror.catalogue is not posts.catalogue and self._mirror.catalogue.size:
            posts = self._posts = posts.moved_to(self._mirror.catalogue)
            self._ease = self._ease and LearntEase(posts.catalogue, self._ease.weights)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xread({keys.LEARNER_CHANGES: place.last_id})
        pipeline.xinfo_stream(keys.LEARNER_CHANGES)
        pipeline.get(keys.LEARNER_MARK).get(keys.LEARNER_WEIGHTS)
        streams, info, stored, weights = await pipeline.execute(raise_on_error=False)
        if isinstance(streams, Exception):
            raise streams
        entries = [entry for _, entries in streams for entry in entries]
        end, mark = Place.end_of(info), factors.decode_mark(_sound(stored))
        reached = Place(entries[-1][0], place.added + len(entries)) if entries else place
        if reached != end or mark.width != posts.width:
            raise Gap(f"{keys.LEARNER_CHANGES}: read {reached.added} entries, Redis has {end.added}")
        packed = [np.frombuffer(fields.get(b"ids", b""), "<i8") for _, fields in entries]
        ids = np.unique(np.concatenate(packed)).tolist() if packed else []
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            posts.set(part, await self._redis.hmget(keys.LEARNER_VECTORS, part))
        if any(b"ease" in fields for _, fields in entries):
            await self._take_ease()
        self._take_weights(_sound(weights))
        self.version, self.problem = mark.version, None
        return reached

    async def _take_ease(self) -> None:
        payload: bytes | None = await self._redis.get(keys.LEARNER_EASE)
        posts = self._posts
        if posts is None or payload is None:
            self._ease = None
            return
        try:
            self._ease = LearntEase(posts.catalogue, ease.decode(payload))
        except ReelstreamError as error:
            _log.error("the source `ease` is left out", error=str(error))
            self._ease = None

    def _take_weights(self, packed: bytes | None) -> None:
        if packed == self._packed:
            return
        self._packed = packed
        try:
            self.weights = None if packed is None else read_weights(packed)
        except ReelstreamError as error:
            _log.error("the learnt blend is left out", error=str(error))
            self.weights = None


def _sound(answer: bytes | Exception | None) -> bytes | None:
    """An answer of a pipeline that does not raise. Raises RedisError."""
    if isinstance(answer, Exception):
        raise answer
    return answer
