"""Real services for the tests, started once a session and only when a test asks for them."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reelstream import child as children
from reelstream.child import Child, until_ready
from reelstream.embedded import broker as embedded_broker
from reelstream.embedded import postgres as embedded_postgres
from reelstream.embedded import valkey as embedded_valkey
from reelstream.topics import create_topics
from schemas.errors import ReelstreamError
from schemas.migrate import migrate
from schemas.settings import Settings

KAFKA = Path(__file__).parents[2] / "shared" / "kafka" / "kafka"


def wait_for(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs it in a thread of its own: a fixture may be asked for while a test's event loop runs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@contextmanager
def running(child: Child, log: Path, timeout: float = 60) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a child until it is ready, and stops it and its group at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(child.command, stdout=output, stderr=output, **child.popen_arguments())
    try:
        try:
            wait_for(until_ready(child, timeout))
        except ReelstreamError as error:
            error.add_note(log.read_text(errors="replace")[-2000:])
            raise
        yield process
    finally:
        process.send_signal(child.stop_signal)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that names a loopback port nobody listens on."""
    return children.free_port


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """REDIS_URL of a Valkey of this session. Tests share it: each keeps to keys of its own, or to another database."""
    state = tmp_path_factory.mktemp("valkey")
    port = children.free_port()
    with running(embedded_valkey.child(state, port), state / "log"):
        yield embedded_valkey.address(port)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DATABASE_URL of a PostgreSQL of this session, migrated."""
    state = tmp_path_factory.mktemp("postgres")
    port = children.free_port()
    with running(embedded_postgres.child(state, port), state / "log"):
        wait_for(migrate(embedded_postgres.address(port)))
        yield embedded_postgres.address(port)


@pytest.fixture(scope="session")
def tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """KAFKA_BOOTSTRAP_SERVERS of an embedded broker of this session, with the topics."""
    with running_tansu(tmp_path_factory.mktemp("tansu")) as address:
        yield address


@pytest.fixture(scope="session")
def own_tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """KAFKA_BOOTSTRAP_SERVERS of an embedded broker that no worker reads: anything may be sent there."""
    with running_tansu(tmp_path_factory.mktemp("own-tansu")) as address:
        yield address


@contextmanager
def running_tansu(folder: Path) -> Iterator[str]:
    port = children.free_port()
    address = embedded_broker.address(port)
    with running(embedded_broker.child(port), folder / "log"):
        wait_for(create_topics(Settings(kafka_bootstrap_servers=address)))
        yield address


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """KAFKA_BOOTSTRAP_SERVERS of a real Apache Kafka with the topics: the one in the environment, or our own."""
    if address := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        wait_for(create_topics(Settings(kafka_bootstrap_servers=address)))
        yield address
        return
    with running_kafka(tmp_path_factory.mktemp("kafka")) as address:
        yield address


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """KAFKA_BOOTSTRAP_SERVERS of an Apache Kafka whose log has nothing but what this module sends."""
    with running_kafka(tmp_path_factory.mktemp("own-kafka")) as address:
        yield address


@contextmanager
def running_kafka(folder: Path) -> Iterator[str]:
    if not KAFKA.is_file():
        pytest.skip("no Apache Kafka: set KAFKA_BOOTSTRAP_SERVERS to the address of one to run this test")
    port = children.free_port_pair()
    address = embedded_broker.address(port)
    child = Child(
        name="kafka",
        command=[str(KAFKA), "run", "--port", str(port), "--data", str(folder / "data")],
        ready=lambda: embedded_broker.answers_at(port),
    )
    with running(child, folder / "log"):
        wait_for(create_topics(Settings(kafka_bootstrap_servers=address)))
        yield address
