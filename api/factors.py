"""What the learner publishes, kept in this process: vectors of posts by slot of the catalogue, the blend's weights."""

import asyncio
from collections.abc import Sequence

import numpy as np
import structlog
from numpy.typing import NDArray
from redis.exceptions import RedisError

from schemas import factors, keys

from .catalogue import Catalogue
from .mirror import Gap, Mirror, Place
from .redis import RedisBytes

AT_ONCE = 1_000
"""Vectors read at once: 128 KB with 64 numbers each, and half a millisecond to take them over."""
POLL_SECONDS = 0.5
"""The learner publishes once a second."""
LONGEST_PAUSE_SECONDS = 2.0

_log = structlog.get_logger()


class SlotVectors:
    """Vectors of posts by slot of one catalogue. vectors (M, width) and has (M,): as long as its arrays."""

    def __init__(self, catalogue: Catalogue, width: int) -> None:
        self.catalogue = catalogue
        self.width = width
        self.vectors = np.zeros((0, width), np.float32)
        self.has = np.zeros(0, np.bool_)

    def set(self, ids: Sequence[int], values: Sequence[bytes | None]) -> None:
        """Takes vectors over; None and those of another width are gone."""
        slot, known = self.catalogue.slot, self.catalogue.slots
        there: list[tuple[int, bytes]] = []
        gone: list[int] = []
        for post_id, value in zip(ids, values, strict=True):
            if value is not None and len(value) == 2 * self.width:
                there.append((slot(post_id), value))
            elif post_id in known:
                gone.append(known[post_id])
        self.make_room()
        slots = [place for place, _ in there]
        self.vectors[slots] = np.frombuffer(b"".join([value for _, value in there]), "<f2").reshape(-1, self.width)
        self.has[slots] = True
        self.vectors[gone] = 0.0
        self.has[gone] = False

    def moved_to(self, catalogue: Catalogue) -> "SlotVectors":
        """The same in the slots of another catalogue."""
        had = np.flatnonzero(self.has)
        moved = SlotVectors(catalogue, self.width)
        slots = [catalogue.slot(post_id) for post_id in self.catalogue.ids[had].tolist()]
        moved.make_room()
        moved.vectors[slots] = self.vectors[had]
        moved.has[slots] = True
        return moved

    def make_room(self) -> None:
        """As many rows as the catalogue has, which grows by doubling."""
        missing = len(self.catalogue.ids) - len(self.has)
        if missing > 0:
            self.vectors = np.pad(self.vectors, ((0, missing), (0, 0)))
            self.has = np.pad(self.has, (0, missing))


class Factors:
    """weights: as online_models.recommender wrote them, None before there are any. version: of the publication.

    problem: why all this may be out of date, a sentence; None when it is not. Vectors stay while Redis is away.
    """

    def __init__(self, redis: RedisBytes, mirror: Mirror) -> None:
        self._redis = redis
        self._mirror = mirror
        self._place: Place | None = None
        self._slots = SlotVectors(mirror.catalogue, 0)
        self.weights: bytes | None = None
        self.version = 0
        self.problem: str | None = "nothing is loaded yet"

    def of(self, catalogue: Catalogue) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """vectors (N, width) and has (N,), by slot of that catalogue: views, changed in place between requests.

        Where `has` is False the vector is zero. A catalogue that was just exchanged has none for half a second.
        """
        size, slots = catalogue.size, self._slots
        if catalogue is not slots.catalogue:
            slots = SlotVectors(catalogue, slots.width)
        slots.make_room()
        return slots.vectors[:size], slots.has[:size]

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
                _log.warning("learnt vectors are loaded again", reason=str(gap))
                self._place = None
            except (RedisError, OSError) as error:
                self.problem = f"Redis does not answer ({type(error).__name__}); vectors are as they were last seen"
                failures += 1
            except Exception as error:
                self.problem = f"{type(error).__name__}: {error}"
                _log.exception("learnt vectors not read, trying again")
                self._place = None
                failures += 1
            await asyncio.sleep(min(POLL_SECONDS * 2**failures, LONGEST_PAUSE_SECONDS))

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
        slots = SlotVectors(self._mirror.catalogue, mark.width)
        cursor, begun = 0, False
        while cursor or not begun:
            cursor, found = await self._redis.hscan(keys.LEARNER_VECTORS, cursor, count=AT_ONCE)
            slots.set([*map(int, found)], [*found.values()])
            begun = True
        self._slots = slots
        self.weights, self.version, self.problem = _sound(weights), mark.version, None
        _log.info("learnt vectors loaded", vectors=int(np.count_nonzero(slots.has)), version=mark.version)
        return place

    async def _follow(self, place: Place) -> Place:
        """What changed since `place`; returns the new one. Raises Gap when the stream does not go on from there."""
        if self._mirror.catalogue is not self._slots.catalogue and self._mirror.catalogue.size:
            self._slots = self._slots.moved_to(self._mirror.catalogue)
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
        if reached != end or mark.width != self._slots.width:
            raise Gap(f"{keys.LEARNER_CHANGES}: read {reached.added} entries, Redis has {end.added}")
        packed = [np.frombuffer(fields[b"ids"], "<i8") for _, fields in entries]
        ids = np.unique(np.concatenate(packed)).tolist() if packed else []
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            self._slots.set(part, await self._redis.hmget(keys.LEARNER_VECTORS, part))
        self.weights, self.version, self.problem = _sound(weights), mark.version, None
        return reached


def _sound(answer: bytes | Exception | None) -> bytes | None:
    """An answer of a pipeline that does not raise. Raises RedisError."""
    if isinstance(answer, Exception):
        raise answer
    return answer
