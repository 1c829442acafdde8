"""Several API processes on one port, with the command that starts them."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import psutil

COMMAND = [sys.executable, "-m", "reelstream", "api", "--processes", "2", "--port"]


def kept_in(folder: Path) -> list[Path]:
    """The counts of processes."""
    return list(folder.glob("histogram_*.db"))


async def test_processes_share_a_port_one_that_dies_is_replaced_and_all_stop_together(
    redis_url: str, tansu: str, free_port: Callable[[], int], until: Callable[..., Awaitable[None]]
) -> None:
    port = free_port()
    environment = {**os.environ, "REDIS_URL": redis_url, "KAFKA_BOOTSTRAP_SERVERS": tansu, "KAFKA_IDEMPOTENCE": "false"}
    program = subprocess.Popen([*COMMAND, str(port)], env=environment)
    parent = psutil.Process(program.pid)
    served: set[int] = set()

    async def served_by_two() -> bool:
        """Each connection is taken by one of them; the process that has it is on its other side."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            try:
                (await client.get("/health/live")).raise_for_status()
            except httpx.TransportError:
                return False
            served.update(
                child.pid
                for child in parent.children()
                for connection in child.net_connections("tcp")
                if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == port
            )
        return len(served & {child.pid for child in parent.children()}) == 2

    async def ask(path: str = "/health/live") -> str:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            return (await client.get(path)).raise_for_status().text

    async def counted() -> int:
        """How often /health/live was answered, by any process, as both of them say."""
        name = r'^reelstream_request_seconds_count{route="/health/live",status="200"} (\d+)'
        said = {re.findall(name, await ask("/metrics"), re.MULTILINE)[0] for _ in range(8)}
        assert len(said) == 1
        return int(said.pop())

    try:
        await until(served_by_two, 60)
        counts = Path(parent.children()[0].environ()["PROMETHEUS_MULTIPROC_DIR"])
        answered = await counted()
        await asyncio.gather(*(ask() for _ in range(20)))  # connections of their own: both processes get some
        assert await counted() == answered + 20
        assert len(kept_in(counts)) == 2
        before = parent.children()
        before[0].send_signal(signal.SIGKILL)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            for _ in range(5):
                assert (await client.get("/health/live")).status_code == 200
        assert await counted() >= answered + 25  # what the dead one counted is not lost
        await until(served_by_two, 60)
        children = parent.children()
        program.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(program.wait, 20) == 0
        assert not any(child.is_running() for child in children)
        assert not kept_in(counts)
    finally:
        program.kill()
        program.wait()


async def test_a_port_in_use_is_a_sentence(redis_url: str, tansu: str) -> None:
    environment = {**os.environ, "REDIS_URL": redis_url, "KAFKA_BOOTSTRAP_SERVERS": tansu}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = await asyncio.to_thread(
            subprocess.run, [*COMMAND, port], env=environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode != 0
    assert f"Port {port} of 127.0.0.1 can't be used" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_request_under_way_is_answered_when_the_process_is_told_to_stop(
    redis_url: str, tansu: str, free_port: Callable[[], int], until: Callable[..., Awaitable[None]]
) -> None:
    port = free_port()
    environment = {**os.environ, "REDIS_URL": redis_url, "KAFKA_BOOTSTRAP_SERVERS": tansu, "KAFKA_IDEMPOTENCE": "false"}
    program = subprocess.Popen([sys.executable, "-m", "reelstream", "api", "--port", str(port)], env=environment)
    body = b'{"username": "stayer", "post_id": 1, "interaction_type": "like"}'

    async def up() -> bool:
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                return (await client.post("/api/v1/interaction", content=body)).status_code == 202
        except httpx.TransportError:
            return False

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return True
        writer.close()
        return False

    try:
        await until(up, 60)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/v1/interaction HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body[:10])
        await writer.drain()
        await up()  # a request later, so the first one has been begun
        program.send_signal(signal.SIGTERM)
        await until(refused, 20)
        writer.write(body[10:])
        assert (await reader.readline()).split()[1] == b"202"
        writer.close()
        assert await asyncio.to_thread(program.wait, 20) in (0, -signal.SIGTERM)
    finally:
        program.kill()
        program.wait()
