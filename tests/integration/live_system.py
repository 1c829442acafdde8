"""A system of workers on a broker of the session, a publisher, and eyes on what Redis and PostgreSQL hold."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from schemas import keys, topics
from schemas.item_state import ItemState, Neighbours
from schemas.migrate import migrate
from schemas.topics import owner
from schemas.user_state import UserState

PARTITIONS = 4


@dataclass
class System:
    """A broker, a Redis database and a PostgreSQL database of this module, with workers of some roles."""

    environment: dict[str, str]
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, role: str, slot: int = 0) -> None:
        command = [sys.executable, "-m", "reelstream", "worker", "--role", role, "--slot", str(slot)]
        self.workers[role if slot == 0 else f"{role}-{slot}"] = subprocess.Popen(
            command, env={**os.environ, **self.environment}
        )

    def stop(self, name: str) -> None:
        self.workers[name].terminate()
        self.workers.pop(name).wait(20)

    def kill(self, role: str) -> None:
        self.workers[role].kill()
        self.workers.pop(role).wait()


@contextmanager
def running_system(
    brokers: str, valkey: str, postgres: str, database: int, roles: tuple[str, ...] = ("learn", "record"), **extra: str
) -> Iterator[System]:
    name = f"streams{database}"
    asyncio.run(_create_database(postgres, name))
    system = System(
        {
            "KAFKA_BOOTSTRAP_SERVERS": brokers,
            "REDIS_URL": f"{valkey.rsplit('/', 1)[0]}/{database}",
            "DATABASE_URL": f"{postgres.rsplit('/', 1)[0]}/{name}",
            **extra,
        }
    )
    asyncio.run(migrate(system.environment["DATABASE_URL"]))
    try:
        for role in roles:
            system.start(role)
        yield system
    finally:
        for worker in system.workers.values():
            worker.terminate()
        for worker in system.workers.values():
            worker.wait(20)


EMBEDDED = {
    "KAFKA_FETCH_MAX_WAIT_MS": "20", "KAFKA_IDEMPOTENCE": "false", "KAFKA_STATIC_MEMBERSHIP": "false",
}  # fmt: skip
"""Settings for the embedded broker, as `reelstream up` has them."""


@contextmanager
def running_on(request: pytest.FixtureRequest, valkey: str, postgres: str, kafka: int, tansu: int) -> Iterator[System]:
    """A system on the broker that the fixture's parameter names. kafka, tansu: number of the database on each."""
    brokers = request.getfixturevalue(request.param)
    embedded = EMBEDDED if request.param == "tansu" else {}
    with running_system(brokers, valkey, postgres, tansu if embedded else kafka, **embedded) as system:
        yield system


async def _create_database(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


class Client:
    """A publisher, and eyes on Redis and PostgreSQL."""

    def __init__(self, producer: AIOKafkaProducer, redis: Redis, record: asyncpg.Connection) -> None:
        self.producer, self.redis, self.record = producer, redis, record

    async def send(self, value: object, key: str | None = None, partition: int | None = None) -> tuple[int, int]:
        payload = value if isinstance(value, bytes) else json.dumps(value).encode()
        sent = await self.producer.send_and_wait(
            topics.INTERACTIONS, payload, key=key.encode() if key else None, partition=partition
        )
        return sent.partition, sent.offset

    async def user(self, username: str) -> UserState:
        return UserState.decode(await self.redis.get(keys.user_state(owner(username, PARTITIONS), username)))

    async def item(self, post_id: int) -> ItemState:
        return ItemState.decode(await self.redis.get(keys.item_state(owner(str(post_id), PARTITIONS), post_id)))

    async def neighbours(self, post_id: int) -> dict[int, float]:
        key = keys.neighbours(owner(str(post_id), PARTITIONS), post_id)
        return Neighbours.decode(await self.redis.get(key)).weights


@asynccontextmanager
async def client(system: System) -> AsyncIterator[Client]:
    producer = AIOKafkaProducer(bootstrap_servers=system.environment["KAFKA_BOOTSTRAP_SERVERS"])
    await producer.start()
    redis = Redis.from_url(system.environment["REDIS_URL"])
    record = await asyncpg.connect(system.environment["DATABASE_URL"])
    try:
        yield Client(producer, redis, record)
    finally:
        await producer.stop()
        await redis.aclose()
        await record.close()


def eventually() -> AsyncRetrying:
    """Tries an assertion again until it holds, for at most a minute."""
    return AsyncRetrying(
        retry=retry_if_exception_type(AssertionError), wait=wait_fixed(0.05), stop=stop_after_delay(60), reraise=True
    )


def event(username: str, post_id: int, kind: str = "like", value: float = 1.0, **more: object) -> dict[str, object]:
    return {
        "event_id": str(uuid.uuid4()), "username": username, "post_id": post_id, "interaction_type": kind,
        "interaction_value": value, **more,
    }  # fmt: skip
