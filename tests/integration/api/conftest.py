"""The API in a process of its own, with a real Valkey and a real broker; what workers would write is written here."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis import Redis

from online_models.user_history import learn_one
from schemas import heartbeat, keys, topics
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.heartbeat import Heartbeat
from schemas.item_state import ItemState, Neighbours
from schemas.models import ModelVersion, encode_version, pack_vectors
from schemas.posts import decode_post, encode
from schemas.user_state import HistoryEvent, UserState

PARTITIONS = 4
POSTS = range(1, 61)
NOW = time.time()


class Worker:
    """Writes to Redis what a worker writes, through the same codecs."""

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url, protocol=2)

    def post(self, post_id: int, **fields: object) -> None:
        row = {"id": post_id, "title": f"post {post_id}", "category": "Even" if post_id % 2 == 0 else "Odd", **fields}
        s = owner(post_id)
        self.redis.set(keys.post_row(s, post_id), encode(decode_post(msgspec.json.encode(row))))
        self.redis.sadd(keys.post_ids(s), post_id)
        self.announce(s, b"rows", post_id)

    def delete(self, post_id: int) -> None:
        s = owner(post_id)
        self.redis.delete(keys.post_row(s, post_id))
        self.redis.srem(keys.post_ids(s), post_id)
        self.announce(s, b"rows", post_id)

    def counts(self, post_id: int, strength: float) -> None:
        s = owner(post_id)
        state = ItemState({0: int(strength), 1: 1}, [strength] * 3, NOW, strength, "", True)
        self.redis.set(keys.item_state(s, post_id), state.encode())
        self.announce(s, b"states", post_id)

    def neighbours(self, post_id: int, weights: dict[int, float]) -> None:
        s = owner(post_id)
        self.redis.set(keys.neighbours(s, post_id), Neighbours(weights).encode())
        self.announce(s, b"neighbours", post_id)

    def announce(self, partition: int, kind: bytes, post_id: int) -> None:
        self.redis.xadd(keys.item_changes(partition), {kind: np.array([post_id], "<i8").tobytes()}, maxlen=1000)

    def user(self, username: str, liked: list[int], excluded: list[int] | None = None) -> None:
        kinds = [(post, "like") for post in liked] + [(post, "not_interested") for post in excluded or []]
        state = UserState()
        for number, (post, kind) in enumerate(kinds):
            learn_one(state, HistoryEvent(int(NOW * 1000) + number, post, TYPE_CODES[kind], 1000), DEFAULT_WEIGHTS)
        self.redis.set(keys.user_state(topics.owner(username, PARTITIONS), username), state.encode())

    def model(self, version: str, ids: list[int], vectors: list[list[float]]) -> None:
        chunks = pack_vectors(np.array(ids), np.array(vectors, np.float32))
        for number, chunk in enumerate(chunks):
            self.redis.set(keys.model_chunk("svd", version, number), chunk)
        current = ModelVersion(model="svd", version=version, created_at=NOW, dim=len(vectors[0]), items=len(ids),
                               chunks=len(chunks), metrics={})  # fmt: skip
        self.redis.set(keys.model_current("svd"), encode_version(current))

    def beat(self, role: str) -> None:
        beating = Heartbeat(
            id=f"{role}-0", pid=1, role=role, started_at=NOW, partitions=["interactions-0"], lag={"interactions-0": 3},
            freshness={"0.5": 0.01, "0.99": 0.02}, counters={"events": 7},
        )  # fmt: skip
        self.redis.zadd(keys.WORKERS, {beating.id: time.time()})
        self.redis.set(keys.worker(beating.id), heartbeat.encode(beating), ex=heartbeat.TTL_SECONDS)


def owner(post_id: int) -> int:
    return topics.owner(str(post_id), PARTITIONS)


@contextmanager
def api_running(port: int, redis_url: str, kafka: str, database: str = "", idempotence: str = "false") -> Iterator[str]:
    """The API on `port`, from its first answer on; stopped by SIGTERM, which must end it."""
    command = [sys.executable, "-m", "reelstream", "api", "--host", "127.0.0.1", "--port", str(port)]
    variables = {
        "REDIS_URL": redis_url, "KAFKA_BOOTSTRAP_SERVERS": kafka, "DATABASE_URL": database,
        "KAFKA_IDEMPOTENCE": idempotence, "KAFKA_PARTITIONS": str(PARTITIONS),
    }  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, **variables})
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{address}/health/live").raise_for_status()
                break
            except httpx.TransportError:
                assert process.poll() is None, "the API ended"
                assert time.monotonic() < deadline, "the API did not start"
                time.sleep(0.05)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    """A context manager that runs the API: serve(port, redis_url, kafka, database="", idempotence="false")."""
    return api_running


@pytest.fixture(scope="session")
def redis_url(valkey: str) -> str:
    """A database of our own."""
    return valkey.rsplit("/", 1)[0] + "/5"


@pytest.fixture(scope="session")
def worker(redis_url: str) -> Worker:
    """Posts 1 to 60, the lower the more popular and the newer, even ones in category Even, others in Odd."""
    writer = Worker(redis_url)
    for post_id in POSTS:
        writer.post(post_id, created_at=(NOW - post_id * 3600) * 1000, upvoted=True)
        writer.counts(post_id, float(100 - post_id))
    for first in (1, 2):
        writer.neighbours(first, {post_id: 1e3 / post_id for post_id in POSTS if post_id > 40})
    return writer


@pytest.fixture(scope="session")
def address(worker: Worker, redis_url: str, tansu: str, postgres: str, free_port: Callable[[], int]) -> Iterator[str]:
    """One API for most tests."""
    with api_running(free_port(), redis_url, tansu, postgres) as running:
        yield running


async def poll(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def until() -> Callable[..., Awaitable[None]]:
    """Waits for an async condition: until(condition, seconds=20)."""
    return poll


@pytest.fixture
async def client(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address) as connected:

        async def loaded() -> bool:
            page = await connected.get("/api/v1/feed?username=nobody")
            return bool(page.json()["total_count"] >= len(POSTS))

        await poll(loaded)
        yield connected


@pytest.fixture(scope="session")
def feed() -> Callable[..., Awaitable[dict[str, Any]]]:
    """A page of a user's feed: feed(client, username, **parameters)."""

    async def get(client: httpx.AsyncClient, username: str, **parameters: object) -> dict[str, Any]:
        answer = await client.get("/api/v1/feed", params={"username": username, **parameters})
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    return get


@pytest.fixture
def messages(tansu: str) -> Callable[[str], Awaitable[list[tuple[int, bytes, bytes | None]]]]:
    """Everything in a topic: partition, key, value."""

    async def read(topic: str) -> list[tuple[int, bytes, bytes | None]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=tansu, auto_offset_reset="earliest", fetch_max_wait_ms=20)
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
            found = []
            while batches := await consumer.getmany(timeout_ms=1500):
                found += [(m.partition, m.key or b"", m.value) for batch in batches.values() for m in batch]
            return found
        finally:
            await consumer.stop()

    return read


MANY = 260
CATEGORIES = ({"id": 2, "name": "Super Feed"}, {"id": 13, "name": "Solo"})
EMOTIONS = ("excitement", "serenity", "determination", "curiosity", "joy")


class MoodyWorker(Worker):
    """Of a database of MANY posts with categories, projects, authors and moods, the lower the id the more popular."""

    def moody_post(self, post_id: int, **more: object) -> None:
        fields: dict[str, object] = {
            "category": CATEGORIES[post_id % 2],
            "topic": {"name": "t", "project_code": "walk"} if post_id % 10 == 0 else [],
            "username": f"author{post_id % 7}",
            "post_summary": {"emotions": {"conveyed": [EMOTIONS[post_id % 5]]}, "keywords": []} if post_id % 3 else [],
        }
        self.post(post_id, **(fields | more))


@pytest.fixture(scope="session")
def many(valkey: str) -> Iterator[tuple[str, MoodyWorker]]:
    """A Redis database of our own, and who writes to it."""
    url = valkey.rsplit("/", 1)[0] + "/3"
    writer = MoodyWorker(url)
    writer.redis.flushdb()
    for post_id in range(1, MANY + 1):
        writer.moody_post(post_id)
        writer.counts(post_id, float(MANY - post_id))
    yield url, writer
    writer.redis.close()


@pytest.fixture(scope="session")
def addresses(many: tuple[str, MoodyWorker], own_tansu: str, free_port: Callable[[], int]) -> Iterator[tuple[str, str]]:
    """Two API processes on the same Redis."""
    with api_running(free_port(), many[0], own_tansu) as one, api_running(free_port(), many[0], own_tansu) as other:
        yield one, other


@pytest.fixture
async def clients(addresses: tuple[str, str]) -> AsyncIterator[tuple[httpx.AsyncClient, ...]]:
    one, other = (httpx.AsyncClient(base_url=address) for address in addresses)

    async def loaded() -> bool:
        pages = [await client.get("/api/v1/feed?username=nobody") for client in (one, other)]
        return all(page.json()["total_count"] >= MANY - 20 for page in pages)

    await poll(loaded)
    yield one, other
    await one.aclose()
    await other.aclose()
