"""The embedded services: they start, answer, and keep what they have to keep over a restart."""

import asyncio
import contextlib
import os
import stat
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from reelstream.child import Child, until_ready
from reelstream.embedded import broker, postgres, valkey
from reelstream.topics import create_topics
from schemas.errors import ReelstreamError
from schemas.settings import Settings
from schemas.topics import TOPICS


@contextlib.asynccontextmanager
async def run(child: Child, log: Path) -> AsyncIterator[Process]:
    """Runs one child, ready inside the `async with`, stopped by its own signal after it."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *child.command, stdout=output, stderr=output, **child.popen_arguments()
        )
    try:
        await until_ready(child, 30)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(child.stop_signal)
        await process.wait()


async def test_valkey_keeps_its_keys_over_a_restart(tmp_path: Path, free_port: Callable[[], int]) -> None:
    for start in range(2):
        port = free_port()
        async with run(valkey.child(tmp_path, port), tmp_path / "log"):
            client = redis.asyncio.from_url(valkey.address(port))
            assert await client.incr("starts") == start + 1
            assert (await client.config_get("appendonly"))["appendonly"] == "yes"
            await client.aclose()


async def test_valkey_keeps_its_keys_when_it_is_killed(tmp_path: Path, free_port: Callable[[], int]) -> None:
    for start in range(2):
        port = free_port()
        async with run(valkey.child(tmp_path, port), tmp_path / "log") as process:
            client = redis.asyncio.from_url(valkey.address(port))
            assert await client.incr("starts") == start + 1
            await client.aclose()
            process.kill()


async def test_postgres_keeps_its_rows_over_a_restart_and_a_kill(tmp_path: Path, free_port: Callable[[], int]) -> None:
    for start in range(3):
        port = free_port()
        async with run(postgres.child(tmp_path, port), tmp_path / "log") as process:
            connection = await asyncpg.connect(postgres.address(port))
            await connection.execute("CREATE TABLE IF NOT EXISTS starts (number int)")
            assert await connection.fetchval("SELECT count(*) FROM starts") == start
            await connection.execute("INSERT INTO starts VALUES ($1)", start)
            assert await connection.fetchval("SHOW server_encoding") == "UTF8"
            assert await connection.fetchval("SHOW fsync") == "on"
            assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
            await connection.close()
            if start == 1:
                process.kill()


async def test_postgres_data_are_closed_to_other_users_and_not_owned_by_root(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    postgres.child(tmp_path, free_port())
    found = (tmp_path / "postgres").stat()
    assert stat.S_IMODE(found.st_mode) == 0o700
    assert found.st_uid != 0
    if os.geteuid():
        assert found.st_uid == os.geteuid()


async def test_a_half_made_postgres_directory_is_made_again(tmp_path: Path, free_port: Callable[[], int]) -> None:
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    port = free_port()
    async with run(postgres.child(tmp_path, port), tmp_path / "log"):
        await postgres.answers(postgres.address(port))
    assert not half.exists()


async def test_the_broker_is_empty_after_each_start(tmp_path: Path, free_port: Callable[[], int]) -> None:
    clusters = set()
    for _ in range(2):
        port = free_port()
        child = broker.child(port)
        async with run(child, tmp_path / "log"):
            settings = Settings(kafka_bootstrap_servers=broker.address(port))
            assert await create_topics(settings) == [topic.name for topic in TOPICS]
        clusters.add(child.command[-1])
    assert len(clusters) == 2


@pytest.mark.parametrize("answers", [broker.answers, valkey.answers, postgres.answers])
async def test_a_probe_of_nothing_fails(
    answers: Callable[[str], Awaitable[None]], free_port: Callable[[], int]
) -> None:
    module = {broker.answers: broker, valkey.answers: valkey, postgres.answers: postgres}[answers]
    with pytest.raises((ReelstreamError, OSError)):
        await answers(module.address(free_port()))


@pytest.mark.parametrize("service", ["tansu", "kafka"])
async def test_topics_are_created_once_and_with_their_settings(service: str, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(service)
    assert await create_topics(Settings(kafka_bootstrap_servers=address)) == []
    await until_settings(address, "interactions", {("cleanup.policy", "delete"), ("retention.ms", "604800000")})
    await until_settings(address, "posts", {("cleanup.policy", "compact")})


@pytest.mark.parametrize("service", ["tansu", "kafka"])
async def test_a_topic_with_another_number_of_partitions_is_refused(
    service: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(service)
    with pytest.raises(ReelstreamError, match="KAFKA_PARTITIONS=4"):
        await create_topics(Settings(kafka_bootstrap_servers=address, kafka_partitions=5))


async def test_a_setting_that_drifted_is_put_right_and_others_are_kept(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    changed = {"retention.ms": "1000", "cleanup.policy": "delete", "max.message.bytes": "2000000"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "trending", configs=changed)])
    await admin.close()
    await until_settings(kafka, "trending", set(changed.items()))
    await create_topics(Settings(kafka_bootstrap_servers=kafka))
    await until_settings(kafka, "trending", {("retention.ms", "86400000"), ("max.message.bytes", "2000000")})


async def until_settings(address: str, topic: str, wanted: set[tuple[str, str]]) -> None:
    """The broker tells of a change a moment after the controller has taken it."""
    async with asyncio.timeout(20):
        while not wanted <= await settings_of(address, topic):
            await asyncio.sleep(0.05)


async def settings_of(address: str, topic: str) -> set[tuple[str, str]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    await admin.close()
    return {(name, value) for name, value, *_ in answer.resources[0][4]}


ABORTED = """
import asyncio, sys
import uvloop
from aiokafka.client import AIOKafkaClient
from reelstream.kafka_clients import mend

async def main():
    client = AIOKafkaClient(bootstrap_servers=sys.argv[1])
    await client.bootstrap()
    connect, aborted = client._get_conn, []

    async def connect_and_abort(node, **more):
        connection = await connect(node, **more)
        if not aborted:
            aborted.append(connection._writer.transport.abort())
            await asyncio.sleep(0)
        return connection

    client._get_conn = connect_and_abort
    for _ in range(3):
        await asyncio.wait_for(client.force_metadata_update(), 5)
    assert aborted
    await client.close()

mend()
uvloop.run(main())
"""


ASKING = """
import asyncio, sys
from aiokafka.client import AIOKafkaClient
from reelstream.kafka_clients import mend

async def main():
    client = AIOKafkaClient(bootstrap_servers=sys.argv[1])
    await client.bootstrap()
    await client.set_topics(["nobody-made-it"])
    await asyncio.sleep(1)
    print("nobody-made-it" in (await client.fetch_all_metadata()).topics())
    await client.close()

if sys.argv[2] == "mended":
    mend()
asyncio.run(main())
"""


@pytest.mark.parametrize(("how", "made"), [("mended", "False"), ("as it is", "True")])
async def test_a_client_that_asks_for_a_topic_does_not_make_it(tansu: str, how: str, made: str):
    command = [sys.executable, "-c", ASKING, tansu, how]
    client = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, text=True)
    assert client.stdout.strip() == made, client.stderr


async def test_a_client_survives_a_connection_that_breaks_as_it_writes(tansu: str):
    command = [sys.executable, "-c", ABORTED, tansu]
    client = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, text=True)
    assert client.returncode == 0, client.stderr
