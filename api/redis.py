"""The connection to Redis, typed for values that are bytes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import hiredis
import redis
import redis.retry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

Streams = list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]
"""Stream name → entries: id and fields."""


class RedisBytes(Protocol):
    """All that the API asks of Redis: plain commands, no modules. Each raises RedisError or OSError."""

    async def get(self, name: str) -> bytes | None: ...
    async def mget(self, keys: Sequence[str]) -> list[bytes | None]: ...
    async def hmget(self, name: str, keys: Sequence[int]) -> list[bytes | None]: ...
    async def hscan(self, name: str, cursor: int, *, count: int) -> tuple[int, dict[bytes, bytes]]: ...
    async def zrangebyscore(self, name: str, min: float | str, max: float | str) -> list[bytes]: ...
    async def xread(self, streams: Mapping[str, bytes], count: int | None = None, block: int = 0) -> Streams: ...
    async def aclose(self) -> None: ...
    async def ping(self) -> bool: ...
    async def sscan(self, name: str, cursor: int, *, count: int) -> tuple[int, list[bytes]]: ...
    def pipeline(self, transaction: bool = True) -> Any: ...


def connection(url: str, timeout: float) -> RedisBytes:
    """A pool that connects when it is used; `timeout` seconds for connecting and for each answer.

    One retry without a pause, as the first use of a connection that died while idle fails.
    """
    pooled = Redis.from_url(
        url, protocol=2, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 1)
    )
    pool = pooled.connection_pool
    pool.connection_class = type("PackingConnection", (_Packing, pool.connection_class), {})
    return cast(RedisBytes, pooled)


class BlockingRedis(Protocol):
    """For a thread that reads much. Each raises RedisError."""

    def get(self, name: str) -> bytes | None: ...
    def close(self) -> None: ...


def blocking_connection(url: str, timeout: float) -> BlockingRedis:
    """Takes what has come in pieces of up to a megabyte, between each of which a thread waits for its turn."""
    plain = redis.Redis.from_url(
        url, protocol=2, socket_timeout=timeout, socket_connect_timeout=timeout, socket_read_size=1 << 20,
        retry=redis.retry.Retry(NoBackoff(), 0),
    )  # fmt: skip
    return cast(BlockingRedis, plain)


Argument = str | bytes | int | float


class _Packing:
    """Lets hiredis write commands: .2 µs an argument, where the asynchronous client takes 3. To start with 100,000
    posts is 220,000 keys."""

    def pack_command(self, name: str, *arguments: Argument) -> list[bytes]:
        # Its stub names a tuple of one.
        return [hiredis.pack_command((*name.split(), *arguments))]  # type: ignore[arg-type]

    def pack_commands(self, commands: Iterable[tuple[str, *tuple[Argument, ...]]]) -> list[bytes]:
        return [packed for command in commands for packed in self.pack_command(*command)]
