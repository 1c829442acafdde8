"""Batch models in service: item vectors from Redis, exchanged as a whole when another version is announced."""

import asyncio
import time
from contextlib import closing, suppress
from copy import copy

import numpy as np
import structlog
from aiokafka import AIOKafkaConsumer
from numpy.typing import NDArray
from tenacity import AsyncRetrying, wait_exponential_jitter

from online_models.content_towers import ContentTowers
from online_models.deep_towers import DeepTowers
from online_models.packed_vectors import PackedVectors, Vectors
from schemas import keys, topics
from schemas.errors import ServiceUnavailable
from schemas.models import ModelVersion, decode_version
from schemas.settings import Settings

from .caches import Cache
from .catalogue import Catalogue
from .graph import Graph
from .memory import give_back
from .metrics import Metrics
from .model_chunks import ModelChunks
from .redis import RedisBytes, blocking_connection
from .retrieved import OfVectors

MODELS = ("svd", "collaborative", "graph", "deep", "ranker", "content")
MULTIPLIED = {"svd": 1, "collaborative": 2, "graph": 1, "deep": 1}
"""Those whose vectors feeds multiply with one of the user: all numbers, or of `collaborative` half of them."""
POST_SECONDS = 24 * 3_600.0
"""Post embeddings: another version, or another catalogue, replaces them earlier."""
USER_SECONDS = 3_600.0
"""User embeddings: an event makes another one."""
USER_BYTES = 8 << 20
"""Some 4,000 of them."""
PACKED_AT_ONCE = 512
"""Rows: 400 KB, which stay in the cache of a core, and which malloc keeps. 4,096 took twice as long."""
READ_TIMEOUT = 2.0
"""Seconds for a chunk, which takes a few milliseconds; a process that ends waits for the one that is under way."""
POLL_SECONDS = 5.0
"""The announcement is the fast way; this is for the one that was missed."""
ANNOUNCED_MS = 500
"""How long the embedded broker may hold an announcement: asked every 20 ms it took 3 % of a core to say nothing."""

_log = structlog.get_logger()


class ItemVectors:
    """The item vectors of one version, by slot of a catalogue.

    version: of schemas.models. vectors (n, dim): float32; `norms` (n,): theirs; `ids` (n,): of which
    posts, ascending. graph: what was published beside them, None for a model that folds users in from `vectors`.
    """

    def __init__(
        self, version: ModelVersion, ids: NDArray[np.int64], vectors: NDArray[np.float32],
        graph: Graph | None = None,
    ) -> None:  # fmt: skip
        if (np.diff(ids) < 0).any():
            order = np.argsort(ids)
            ids, vectors = ids[order], vectors[order]
        self.version = version
        self.graph = graph
        self.ids = ids
        self.vectors = vectors
        self.norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))  # a third of the time that numpy's norm takes
        self._catalogue: Catalogue | None = None
        self._rows = np.empty(0, np.int64)
        self._packed: PackedVectors | None = None
        self._packed_of: Catalogue | None = None
        self._seen, self._good_until = 0, 0.0
        self._ahead: ItemVectors | None = None

    def rows(self, catalogue: Catalogue) -> NDArray[np.int64]:
        """Row in `vectors` of every slot (N,), -1 where the model has none. Extended as the catalogue grows."""
        if catalogue is not self._catalogue:
            self._turn_to(catalogue)
        if len(self._rows) < catalogue.size:
            rows = self.rows_of(catalogue.ids[len(self._rows) : catalogue.size])
            self._rows = np.concatenate([self._rows, np.where(rows < len(self.ids), rows, -1)])
        return self._rows

    def prepare(self, catalogue: Catalogue) -> None:
        """Does what the first feed of a catalogue would have to: .1 s for 100,000 × 193. For a thread, while feeds of
        another catalogue go on."""
        ahead = copy(self)
        ahead._packed_for(catalogue, self.version.dim // MULTIPLIED[self.version.model])
        self._ahead = ahead

    def _turn_to(self, catalogue: Catalogue) -> None:
        ahead = self._ahead
        if ahead is None or ahead._catalogue is not catalogue:
            self._catalogue, self._rows = catalogue, np.empty(0, np.int64)
            return
        self._ahead, self._catalogue, self._rows = None, catalogue, ahead._rows
        self._packed, self._packed_of = ahead._packed, catalogue
        self._seen, self._good_until = ahead._seen, ahead._good_until

    def towards(self, catalogue: Catalogue, user: NDArray[np.float32], logits: bool = True) -> OfVectors:
        """Vector of every slot · user (≤ dim,), whose numbers belong to the first columns."""
        packed = self._packed_for(catalogue, len(user))
        return OfVectors(packed, Vectors(self.vectors, self.rows(catalogue)), user, logits)

    def _packed_for(self, catalogue: Catalogue, dim: int) -> PackedVectors:
        """Post embeddings as feeds multiply them, of all slots."""
        rows = self.rows(catalogue)
        if (
            self._packed is None or self._packed.dim != dim or self._packed_of is not catalogue
            or time.monotonic() >= self._good_until
        ):  # fmt: skip
            self._packed, self._seen = PackedVectors(dim, len(rows)), 0
            self._packed_of, self._good_until = catalogue, time.monotonic() + POST_SECONDS
        if self._seen < len(rows):
            there = self._seen + np.flatnonzero(rows[self._seen :] >= 0)
            for begin in range(0, len(there), PACKED_AT_ONCE):
                part = there[begin : begin + PACKED_AT_ONCE]
                self._packed.put(part, self.vectors[rows[part]])
            self._seen = len(rows)
        return self._packed

    def was_published(self, catalogue: Catalogue) -> NDArray[np.bool_]:
        """(N,): which slots have a vector that was published, and not one that came behind them."""
        rows = self.rows(catalogue)
        return np.asarray((rows >= 0) & (rows < len(self.ids)), np.bool_)

    def repack(
        self, catalogue: Catalogue, slots: NDArray[np.int64], vectors: NDArray[np.float32] | None
    ) -> None:  # fmt: skip
        """Slots (n,) have other vectors (n, dim), or none, than those that were packed."""
        if self._packed is None or self._packed_of is not catalogue:
            return
        seen = slots < self._seen  # others are packed when they are asked for
        if vectors is None:
            self._packed.drop(slots[seen])
        else:
            self._packed.put(slots[seen], vectors[seen])

    def mean_of(
        self, catalogue: Catalogue, slots: NDArray[np.int64], weights: NDArray[np.floating]
    ) -> NDArray[np.float32] | None:
        """(dim,) of the vectors of slots (q,), by weights (q,); those that the model does not have count nothing. None
        when nothing counts."""
        rows = self.rows(catalogue)[slots]
        known = np.where(rows >= 0, weights, 0.0)
        total = known.sum()
        if total <= 0:
            return None
        mean: NDArray[np.float32] = (known / total).astype(np.float32) @ self.vectors[rows]
        return mean

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row in `vectors` of each of `ids` (m,), n where the model has none."""
        rows = np.searchsorted(self.ids, ids)
        found = self.ids[np.minimum(rows, len(self.ids) - 1)] == ids if len(self.ids) else rows < 0
        return np.where(found, rows, len(self.ids))


class Models:
    """`vectors`: model name → the version that serves. Replaced, never changed: a request keeps what it took."""

    def __init__(self, settings: Settings, redis: RedisBytes, metrics: Metrics | None = None) -> None:
        self._users: Cache[NDArray[np.float32]] = Cache(
            "user_embeddings", USER_SECONDS, USER_BYTES, metrics or Metrics()
        )
        self._settings = settings
        self._redis = redis
        self._changed = asyncio.Event()
        self._catalogue: Catalogue | None = None
        self._ended = False
        self.vectors: dict[str, ItemVectors] = {}

    @property
    def versions(self) -> dict[str, str]:
        return {name: vectors.version.version for name, vectors in self.vectors.items()}

    async def run(self) -> None:
        """Looks at the pointers in Redis at start, after every announcement, and every POLL_SECONDS."""
        try:
            while True:
                self._changed.clear()
                looks = [self.look(model) for model in MODELS]  # beside each other: most waits for threads
                for model, failed in zip(MODELS, await asyncio.gather(*looks, return_exceptions=True), strict=True):
                    if isinstance(failed, Exception):
                        _log.warning("model not read, the one in service stays", model=model, error=str(failed))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), POLL_SECONDS)
        finally:
            self._ended = True

    async def listen(self) -> None:
        """Waits for announcements on the topic `models`, for ever.

        Reads from the start of the topic: it is compacted to a message a model, an announcement only makes us look,
        and the embedded broker does not know where a topic ends.
        """
        async for attempt in AsyncRetrying(wait=wait_exponential_jitter(0.2, 5.0)):
            with attempt:
                consumer = AIOKafkaConsumer(
                    topics.MODELS,
                    bootstrap_servers=self._settings.require("KAFKA_BOOTSTRAP_SERVERS"),
                    group_id=None,
                    auto_offset_reset="earliest",
                    fetch_max_wait_ms=ANNOUNCED_MS,
                )
                try:
                    await consumer.start()
                    self._changed.set()
                    async for _ in consumer:
                        self._changed.set()
                finally:
                    await consumer.stop()

    async def look(self, model: str) -> None:
        """Takes over the version that Redis names, if it is another. Raises ServiceUnavailable for a damaged one."""
        payload = await self._redis.get(keys.model_current(model))
        if payload is None:
            return  # none yet, or Redis was emptied: what serves goes on serving
        version = decode_version(payload)
        current = self.vectors.get(model)
        if current is not None and current.version.version == version.version:
            return
        vectors = await asyncio.to_thread(self._read, version)
        await asyncio.to_thread(give_back)
        ready: Catalogue | None = None
        while model in MULTIPLIED and (catalogue := self._catalogue) is not None and catalogue is not ready:
            await self._prepare(vectors, catalogue)
            ready = catalogue  # meanwhile another one may have come
        self.vectors = {**self.vectors, model: vectors}
        _log.info("model in service", model=model, version=version.version, items=len(vectors.ids))

    async def prepare(self, catalogue: Catalogue) -> None:
        """Makes what feeds multiply for a catalogue that is not in service yet. It has all its slots."""
        self._catalogue = catalogue
        for model in MULTIPLIED.keys() & self.vectors.keys():
            await self._prepare(self.vectors[model], catalogue)

    async def _prepare(self, vectors: ItemVectors, catalogue: Catalogue) -> None:
        try:
            await asyncio.to_thread(vectors.prepare, catalogue)
        except Exception as error:  # neither posts nor a model wait for what a feed can do as well
            _log.warning("vectors are packed by the first feed", model=vectors.version.model, error=repr(error))

    def _read(self, version: ModelVersion) -> ItemVectors:
        """For a thread: 130 MB of chunks kept the event loop busy for .15 s. Raises RedisError, ServiceUnavailable when
        the chunks are not those that were published, and what ONNX Runtime raises for a graph that it can't run."""
        chunks = ModelChunks(version)
        with closing(blocking_connection(self._settings.require("REDIS_URL"), READ_TIMEOUT)) as redis:
            for chunk in range(version.chunks + version.graph_chunks):
                if self._ended:
                    raise ServiceUnavailable("the process ends")  # which waits for its threads
                # One at a time: a chunk is about a megabyte, and Redis serves others in between.
                value = redis.get(keys.model_chunk(version.model, version.version, chunk))
                if value is None:
                    raise ServiceUnavailable(f"{version.model} {version.version}: chunk {chunk} is missing")
                chunks.take(value)
        return _whole(version, chunks, self._users)


def _whole(version: ModelVersion, chunks: ModelChunks, users: Cache[NDArray[np.float32]]) -> ItemVectors:
    graph = chunks.graph()
    if version.model == "content":
        from .content_vectors import ContentVectors  # which are ItemVectors

        return ContentVectors(version, chunks.ids, chunks.vectors, ContentTowers(graph))
    if version.model == "deep":
        from .deep_vectors import DeepVectors

        return DeepVectors(version, chunks.ids, chunks.vectors, DeepTowers(graph), users)
    return ItemVectors(version, chunks.ids, chunks.vectors, Graph(graph) if graph else None)
