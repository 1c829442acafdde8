"""The mirror: item-side state of Redis kept in this process, loaded once and then followed through change streams."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import structlog
from redis.exceptions import RedisError, ResponseError

from schemas import generation, keys, posts
from schemas.errors import ReelstreamError
from schemas.generation import Generation
from schemas.item_state import ItemState, NeighboursOfMany, packed_neighbours

from . import neighbour_table
from .catalogue import Catalogue
from .memory import give_back
from .metrics import Metrics
from .redis import RedisBytes, Streams

SCANNED = 5_000
"""Ids taken at once, a millisecond."""
CHUNK = 500
"""Values read at once: rows of 500 posts are about .2 MB, neighbours .4."""
AT_ONCE = 100
"""Values put in the catalogue at once, rows in half a millisecond."""
BLOCK_MS = 1_000
CHECK_SECONDS = 1.0
"""How often our place in each stream is compared with Redis, to notice a gap."""
SLICE_SECONDS = 0.001
"""Applying gives the event loop back after this long."""
LONGEST_PAUSE_SECONDS = 2.0
LEAST_ROOM = 1_024
"""Slots of a catalogue."""
REBUILDING = "the state in Redis is being rebuilt; posts are as they were last seen, counts may be short"

_log = structlog.get_logger()


class Gap(ReelstreamError):
    """A change stream does not go on where we left it: entries were trimmed, or Redis was emptied."""


class Building(ReelstreamError):
    """The state is being rebuilt: what Redis has is incomplete, what the catalogue holds is the better answer."""


class Place(msgspec.Struct, frozen=True):
    """How far a change stream has been read: the last id, and how many entries were ever added up to it."""

    last_id: bytes = b"0-0"
    added: int = 0

    @classmethod
    def end_of(cls, info: dict[str, Any] | Exception) -> "Place":
        """The end of a stream by XINFO STREAM, which fails where there is no stream yet."""
        if isinstance(info, ResponseError):
            return cls()
        if isinstance(info, Exception):
            raise info
        return cls(info["last-generated-id"], info["entries-added"])


class Mirror:
    """Holds `catalogue`, which a reload replaces as a whole: a request takes it once and keeps it to its end.

    problem: why the catalogue may be out of date, a sentence; None when it is not. prepare: called with a catalogue
    that has all its slots, and waited for before it comes into service.
    """

    def __init__(self, redis: RedisBytes, partitions: int, metrics: Metrics) -> None:
        self._redis = redis
        self._streams = [keys.item_changes(partition) for partition in range(partitions)]
        self._places: list[Place] = []
        self._generation: Generation | None = None
        self._failures = 0
        self._metrics = metrics
        self._exchanged = asyncio.Event()
        self.prepare: Callable[[Catalogue], Awaitable[None]] = _nothing
        self.catalogue = Catalogue()
        self.problem: str | None = "posts are not loaded yet"

    @property
    def degraded(self) -> list[str]:
        """What an answer built on the catalogue has to admit."""
        return [] if self.problem is None else [f"mirror: {self.problem}"]

    async def wait_for_exchange(self, seconds: float) -> None:
        """Until another catalogue is in service, or for that long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._exchanged.wait(), seconds)

    async def run(self) -> None:
        """Loads and follows for ever. When Redis can't answer, the last state stays and is asked for with back-off."""
        while True:
            try:
                if not self._places:
                    await self._load()
                await self._follow()
            except Building as building:
                self.problem = str(building)
                self._places = []
            except Gap as gap:
                _log.warning("mirror reloads", reason=str(gap))
                self._places = []
            except (RedisError, OSError) as error:
                self.problem = f"Redis does not answer ({type(error).__name__}); posts are as they were last seen"
                _log.warning("mirror waits for Redis", error=str(error))
            except Exception as error:
                self.problem = f"{type(error).__name__}: {error}"
                _log.exception("mirror failed, trying again")
                self._places = []
            await asyncio.sleep(min(0.05 * 2**self._failures, LONGEST_PAUSE_SECONDS))
            self._failures = min(self._failures + 1, 10)

    async def _load(self) -> None:
        """Builds a catalogue from a snapshot. The places come first, so that what changes meanwhile is read again.

        Posts that somebody met come first: so what the learner tells of posts, and feeds multiply, lies close together.
        Raises Building when there is a catalogue already and Redis has only a part of the state.
        """
        self._generation = await self._read_generation(keep=self.catalogue.size > 0)
        places = await self._ends()
        ids = [await self._ids(partition) for partition in range(len(self._streams))]
        catalogue = Catalogue(max(LEAST_ROOM, sum(map(len, ids)) * 5 // 4))
        for partition, members in enumerate(ids):
            await self._fetch(catalogue, STATES, partition, members, new=True)
        catalogue.neighbours.reserve(catalogue.size * 9 // 8)
        for partition, members in enumerate(ids):
            # Counters and neighbours are written together, the latter not for every event.
            met = [post_id for post_id in members if post_id in catalogue.slots]
            await self._fetch(catalogue, NEIGHBOURS, partition, met, new=True)
        for members in ids:
            for start in range(0, len(members), SCANNED):
                catalogue.slots_of(members[start : start + SCANNED])
                await asyncio.sleep(0)
        preparing = asyncio.ensure_future(self.prepare(catalogue))  # in a thread, while rows are read
        try:
            for partition, members in enumerate(ids):
                await self._fetch(catalogue, ROWS, partition, members, new=True)
            await preparing
        finally:
            preparing.cancel()
        self.catalogue, self._places = catalogue, places
        self._exchanged.set()
        self._exchanged = asyncio.Event()
        gc.freeze()  # a full collection, which holds feeds up, need not walk every post any more
        await asyncio.to_thread(give_back)
        self._metrics.mirror_reloads.inc()
        _log.info("mirror loaded", posts=catalogue.count_posts())

    async def _ids(self, partition: int) -> list[int]:
        """Of all posts, each once, which a scan does not promise."""
        found: dict[int, None] = {}
        cursor, begun = 0, False
        while cursor or not begun:
            cursor, members = await self._redis.sscan(keys.post_ids(partition), cursor, count=SCANNED)
            found.update(dict.fromkeys(map(int, members)))
            begun = True
        return [*found]

    async def _follow(self) -> None:
        """Applies what the change streams say. Raises Gap when they don't go on where we left them."""
        check_at = 0.0
        while True:
            if time.monotonic() >= check_at:
                await self._check_generation()
                streams = await self._read_and_check()
                check_at = time.monotonic() + CHECK_SECONDS
            else:
                places = {stream: place.last_id for stream, place in zip(self._streams, self._places, strict=True)}
                streams = await self._redis.xread(places, block=BLOCK_MS)
            await self._apply(streams)
            building = self._generation is not None and not self._generation.ready
            self.problem, self._failures = REBUILDING if building else None, 0

    async def _check_generation(self) -> None:
        """Raises Building when the state went away, Gap when another one is ready."""
        loaded = self._generation
        found = await self._read_generation(keep=loaded is None or loaded.ready)
        if found != loaded and (found is None or found.ready):
            raise Gap("the state was built anew")

    async def _read_generation(self, keep: bool) -> Generation | None:
        """The generation in Redis. With `keep`, raises Building for one that is not ready, or is gone."""
        found = generation.decode(await self._redis.get(keys.GENERATION))
        gone = found is None and self._generation is not None
        if keep and (gone or (found is not None and not found.ready)):
            raise Building(REBUILDING)
        return found

    async def _ends(self) -> list[Place]:
        pipeline = self._redis.pipeline(transaction=False)
        for stream in self._streams:
            pipeline.xinfo_stream(stream)
        return [Place.end_of(info) for info in await pipeline.execute(raise_on_error=False)]

    async def _read_and_check(self) -> Streams:
        """Reads all there is, and proves that nothing is missing between our places and the ends of the streams."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xread({stream: place.last_id for stream, place in zip(self._streams, self._places, strict=True)})
        for stream in self._streams:
            pipeline.xinfo_stream(stream)
        streams, *infos = await pipeline.execute(raise_on_error=False)
        if isinstance(streams, Exception):
            raise streams
        reached = self._reached(streams)
        for stream, place, info in zip(self._streams, reached, infos, strict=True):
            end = Place.end_of(info)
            if place != end:
                raise Gap(f"{stream}: read {place.added} entries, Redis has {end.added}")
        result: Streams = streams
        return result

    def _reached(self, streams: Streams) -> list[Place]:
        """Our places once `streams` are applied."""
        read = {name.decode(): entries for name, entries in streams}
        return [
            Place(read[stream][-1][0], place.added + len(read[stream])) if stream in read else place
            for stream, place in zip(self._streams, self._places, strict=True)
        ]

    async def _apply(self, streams: Streams) -> None:
        """Fetches what the entries name, each post once, and only then moves our places on."""
        for name, entries in streams:
            partition = self._streams.index(name.decode())
            rows, states, neighbours = (
                dict.fromkeys(np.frombuffer(b"".join(fields.get(kind, b"") for _, fields in entries), "<i8").tolist())
                for kind in (b"rows", b"states", b"neighbours")
            )
            # State that came before its row was never loaded: a row that is new here brings all of it.
            new = dict.fromkeys(post_id for post_id in rows if not self.catalogue.has_row(post_id))
            for kind, wanted in ((ROWS, rows), (STATES, states | new), (NEIGHBOURS, neighbours | new)):
                await self._fetch(self.catalogue, kind, partition, [*wanted])
        self._places = self._reached(streams)
        self._metrics.mirror_posts.set(self.catalogue.count_posts())

    async def _fetch(
        self, catalogue: Catalogue, kind: "Kind", partition: int, ids: Sequence[int], new: bool = False
    ) -> None:
        """Reads and sets rows, states or neighbours of distinct posts of one partition. new: the catalogue has none of
        them yet, so what Redis does not have is no news."""
        reading = asyncio.ensure_future(self._values(kind, partition, ids[:CHUNK]))
        try:
            for start in range(0, len(ids), CHUNK):
                chunk, values = ids[start : start + CHUNK], await reading
                following = ids[start + CHUNK : start + 2 * CHUNK]  # come while these are worked on
                reading = asyncio.ensure_future(self._values(kind, partition, following))
                found = [pair for pair in zip(chunk, values, strict=True) if pair[1] is not None or not new]
                started = time.perf_counter()
                for begin in range(0, len(found), AT_ONCE):
                    kind.put(catalogue, partition, found[begin : begin + AT_ONCE])
                    if time.perf_counter() - started > SLICE_SECONDS:
                        await asyncio.sleep(0)
                        started = time.perf_counter()
        finally:
            reading.cancel()

    async def _values(self, kind: "Kind", partition: int, ids: Sequence[int]) -> list[bytes | None]:
        return await self._redis.mget([kind.key(partition, post_id) for post_id in ids]) if ids else []


async def _nothing(catalogue: Catalogue) -> None:
    """There is nobody who prepares anything."""


T = TypeVar("T")
V = TypeVar("V", bytes, bytes | None)
Found = Sequence[tuple[int, bytes | None]]


class Kind(NamedTuple):
    """One of the values that Redis has of a post: its key, and how those of distinct posts are put in a catalogue."""

    key: Callable[[int, int], str]
    put: Callable[[Catalogue, int, Found], None]


def _put_rows(catalogue: Catalogue, partition: int, found: Found) -> None:
    there = [(post_id, row) for post_id, row in found if row is not None]
    good, read = _read(keys.post_row, partition, there, posts.decode_described)
    if good:
        catalogue.set_rows([post_id for post_id, _ in good], read, [row for _, row in good])
    for post_id, row in found:
        if row is None:
            catalogue.set_row(post_id, None)


def _put_states(catalogue: Catalogue, partition: int, found: Found) -> None:
    good, read = _read(keys.item_state, partition, found, ItemState.decode)
    if good:
        catalogue.set_states([post_id for post_id, _ in good], read)


def _put_neighbours(catalogue: Catalogue, partition: int, found: Found) -> None:
    good, read = _read(keys.neighbours, partition, found, packed_neighbours)
    if good:
        near = NeighboursOfMany.strongest(read, neighbour_table.NEIGHBOURS)
        catalogue.set_all_neighbours([post_id for post_id, _ in good], near)


def _read(
    key: Callable[[int, int], str], partition: int, found: Sequence[tuple[int, V]], decode: Callable[[V], T]
) -> tuple[Sequence[tuple[int, V]], list[T]]:
    """Those that can be read, and what they say; others are named in the log."""
    try:
        return found, [decode(value) for _, value in found]
    except (ReelstreamError, msgspec.MsgspecError):
        pass  # one by one
    good, read = [], []
    for post_id, value in found:
        try:
            read.append(decode(value))
            good.append((post_id, value))
        except (ReelstreamError, msgspec.MsgspecError) as error:
            _log.warning("mirror skips a value", key=key(partition, post_id), error=str(error))
    return good, read


ROWS = Kind(keys.post_row, _put_rows)
STATES = Kind(keys.item_state, _put_states)
NEIGHBOURS = Kind(keys.neighbours, _put_neighbours)
