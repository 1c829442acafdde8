"""Several API processes on one port, with the command that starts them."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable

import httpx
import psutil

COMMAND = [sys.executable, "-m", "reelstream", "api", "--processes", "2", "--port"]


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

    try:
        await until(served_by_two, 60)
        before = parent.children()
        before[0].send_signal(signal.SIGKILL)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            for _ in range(5):
                assert (await client.get("/health/live")).status_code == 200
        await until(served_by_two, 60)
        children = parent.children()
        program.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(program.wait, 20) == 0
        assert not any(child.is_running() for child in children)
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
