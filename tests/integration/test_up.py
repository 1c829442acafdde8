"""`reelstream up` as a real process: it gets ready, guards its directory, heals, keeps its state, leaves nothing."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from reelstream.addresses import load_settings
from reelstream.parts import heartbeats
from schemas.heartbeat import Heartbeat

pytestmark = pytest.mark.timeout(300)

ADDRESSES = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "DATABASE_URL")
COMMAND = [sys.executable, "-P", "-m", "reelstream"]


class Up:
    """A running `up`: its process, its state directory, what it has printed."""

    def __init__(self, process: Process, data: Path) -> None:
        self.process, self.data = process, data
        self.lines: list[str] = []
        self.url = ""

    async def line(self, pattern: str) -> re.Match[str]:
        """Reads on until a line matches as a whole."""
        assert self.process.stdout is not None
        while raw := await self.process.stdout.readline():
            self.lines.append(raw.decode().rstrip("\n"))
            if found := re.fullmatch(pattern, self.lines[-1]):
                return found
        raise AssertionError(f"`up` ended without a line like {pattern!r}:\n" + "\n".join(self.lines))

    async def beat(self, role: str, other_than: int = 0) -> Heartbeat:
        """The heartbeat of a worker that owns partitions and is not the process `other_than`."""
        redis_url = load_settings(self.data).require("REDIS_URL")
        while True:
            for beat, _ in await heartbeats(redis_url):
                if beat.role == role and beat.partitions and beat.pid != other_than:
                    return beat
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        await self.line("stopped; .*")
        assert await self.process.wait() == 0


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ADDRESSES}


def processes(data: Path) -> dict[int, str]:
    """Living processes that belong to a state directory, by argument, environment or working directory.

    By all three, as Valkey and PostgreSQL write their titles over their arguments and environment.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes()
            told = arguments + (folder / "environ").read_bytes() + os.readlink(folder / "cwd").encode()
            zombie = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            continue
        if str(data).encode() in told and not zombie:
            found[int(folder.name)] = arguments.decode(errors="replace").replace("\0", " ")
    return found


@asynccontextmanager
async def running(data: Path, **variables: str) -> AsyncIterator[Up]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "up", "--port", "0", "--data", str(data), "--no-train",
        stdout=PIPE, stderr=STDOUT, cwd="/", env=environment() | {"STATE_OF_THIS_TEST": str(data)} | variables,
    )  # fmt: skip
    up = Up(process, data)
    try:
        up.url = (await up.line(r"ready (http://127\.0\.0\.1:\d+)"))[1]
        yield up
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(*arguments: str, folder: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=PIPE, stderr=STDOUT, cwd=folder, env=environment()
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def likes(up: Up, post_id: int) -> int:
    async with httpx.AsyncClient(base_url=up.url, trust_env=False) as client:
        answer = await client.get(f"/api/v1/posts/{post_id}")
    return int(answer.json()["counts"].get("like", 0)) if answer.status_code == 200 else 0


async def until_liked(up: Up, post_id: int, times: int) -> None:
    while await likes(up, post_id) < times:
        await asyncio.sleep(0.05)


async def post(up: Up, path: str, body: object) -> None:
    async with httpx.AsyncClient(base_url=up.url, trust_env=False, timeout=20) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 202, answer.text


async def send(up: Up, topic: str, value: bytes) -> None:
    """As another system would, straight to Kafka."""
    servers = load_settings(up.data).require("KAFKA_BOOTSTRAP_SERVERS")
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=False) as producer:
        await producer.send_and_wait(topic, value, key=b"ann")


async def until_says(up: Up, *command: str, word: str) -> str:
    """Runs a command again and again until its output has the word."""
    while word not in (output := (await run(*command, "--data", str(up.data), folder=up.data))[1]):
        await asyncio.sleep(0.1)
    return output


def like(username: str, post_id: int) -> dict[str, object]:
    return {"username": username, "post_id": post_id, "interaction_type": "like"}


async def test_up_runs_guards_its_directory_heals_and_leaves_nothing_behind(tmp_path: Path) -> None:
    data = tmp_path / "state"
    async with running(data) as up:
        steps = [line.split()[0] for line in up.lines[:-1]]
        assert steps == ["broker", "valkey", "postgres", "migrations", "topics", "workers", "api"]

        status, said = await run("up", "--port", "0", "--data", str(data), folder=tmp_path)
        assert status == 1
        assert f"pid {up.process.pid}" in said
        assert "Traceback" not in said

        port = up.url.rsplit(":", 1)[1]
        status, said = await run("up", "--port", port, "--data", str(tmp_path / "other"), folder=tmp_path)
        assert status == 1
        assert port in said
        assert "--port" in said
        assert "Traceback" not in said

        status, said = await run("status", "--json", "--data", str(data), folder=tmp_path)
        assert status == 0
        shown = json.loads(said)
        assert shown["parts"] == {"kafka": "up", "redis": "up", "postgresql": "up", "api": "up"}
        assert {worker["role"] for worker in shown["workers"]} == {"learn", "models", "record"}
        assert shown["memory"]["kinds"]["heartbeats"]["keys"] == 4  # one a worker, and their list

        killed = (await up.beat("record")).pid
        os.kill(killed, signal.SIGKILL)
        await up.line(r"worker-record was killed by SIGKILL; starting it again in 0\.5 s")
        assert (await up.beat("record", other_than=killed)).pid != killed

        await up.stop()
    assert processes(data) == {}


async def feed(up: Up, username: str) -> dict[int, float]:
    """All posts of a feed, with the score that co-visitation gave each."""
    parameters = {"username": username, "page_size": 50, "explain": "true"}
    async with httpx.AsyncClient(base_url=up.url, trust_env=False) as client:
        answer = await client.get("/api/v1/feed", params=parameters)
    return {item["id"]: item["explain"]["sources"].get("co_visitation", 0.0) for item in answer.json()["post"]}


async def a_guest_is_answered_by_the_session(up: Up) -> None:
    """Guests go from 29 to 28; one who comes to 4 and 29 gets a feed without them, with what is near and follows."""

    def clicked(session: str, one: int) -> dict[str, object]:
        return {"session_id": session, "post_id": one, "interaction_type": "view"}

    async def page(session: str) -> dict[str, Any]:
        parameters = {"session_id": session, "page_size": 50, "explain": "true"}
        async with httpx.AsyncClient(base_url=up.url, trust_env=False) as client:
            return dict((await client.get("/api/v1/feed", params=parameters)).json())

    for one in (29, 28):
        await post(up, "/api/v1/interactions", [clicked(f"g{number}", one) for number in range(3)])
    sources: dict[int, dict[str, float]] = {}
    for number in count():  # a session sees a post once: each look is that of another
        for one in (4, 29):
            await post(up, "/api/v1/interaction", clicked(f"late{number}", one))
        await asyncio.sleep(0.5)
        shown = await page(f"late{number}")
        sources = {item["id"]: item["explain"]["sources"] for item in shown["post"]}
        if {"next", "co_visitation"} <= sources.get(28, {}).keys():
            break
    assert not shown["algorithm_used"].startswith("cold_start:")
    assert not {4, 29} & set(sources)
    assert any("co_visitation" in sources[one] for one in (8, 12, 16)), "what fans of 4 came to"
    assert (await page("nobody"))["algorithm_used"].startswith("cold_start:")


async def test_events_count_once_each_over_a_stop_and_a_start(tmp_path: Path) -> None:
    """The embedded broker starts with an empty log, at offset 0, while Redis remembers higher ones."""
    data = tmp_path / "state"
    async with running(data) as up:
        await post(up, "/api/v1/posts", [{"id": number, "title": f"post {number}"} for number in range(1, 31)])
        taste = [like(f"fan{fan}", number) for fan in range(6) for number in range(1 + fan, 28, 1 + fan)]
        await post(up, "/api/v1/interactions", [*taste, *(like("ann", number) for number in (2, 4, 7))])
        for number, fans in {2: 3, 4: 4, 7: 2}.items():
            await until_liked(up, number, fans)
        before: dict[int, float] = {}
        while before != pytest.approx(now := await feed(up, "ann"), rel=1e-6):  # neighbours come after counts
            before = now
            await asyncio.sleep(0.5)
        assert any(before.values())
        await post(up, "/api/v1/interactions", [like(f"user{n}", 30) for n in range(20)])
        await up.stop()  # at once: what was acknowledged must be applied before the broker forgets it
    async with running(data) as up:
        await until_liked(up, 30, 20)
        assert await feed(up, "ann") == pytest.approx(before, rel=1e-3)
        await post(up, "/api/v1/interactions", [like(f"more{n}", 30) for n in range(4)])
        await until_liked(up, 30, 24)
        assert await likes(up, 30) == 24
        assert not {2, 4, 7} & set(await feed(up, "ann"))
        await a_guest_is_answered_by_the_session(up)
        await up.stop()
    assert processes(data) == {}


async def test_a_killed_broker_comes_back_and_events_flow_again(tmp_path: Path) -> None:
    data = tmp_path / "state"
    async with running(data) as up:
        await post(up, "/api/v1/posts", [{"id": 7, "title": "seven"}])
        await post(up, "/api/v1/interactions", [like("ann", 7)])
        await until_liked(up, 7, 1)
        await send(up, "interactions", b'{"username": "ann"}')
        assert "Object missing required field `post_id`" in await until_says(up, "dead-letters", "list", word="missing")
        assert "│ 7 " in await until_says(up, "trending", word=" 7 ")
        worker = (await up.beat("learn")).pid
        [broker] = [pid for pid, command in processes(data).items() if "memory://tansu/" in command]
        os.kill(broker, signal.SIGKILL)
        await up.line("broker was killed by SIGKILL; .*")
        await up.line("broker: its log is in memory, .*")
        await up.beat("learn", other_than=worker)
        await post(up, "/api/v1/interactions", [like("bob", 7)])
        await until_liked(up, 7, 2)
        await up.stop()
    assert processes(data) == {}


async def test_a_service_whose_address_is_set_is_used_and_a_killed_up_takes_its_children_with_it(
    tmp_path: Path, valkey: str
) -> None:
    data = tmp_path / "state"
    async with running(data, REDIS_URL=valkey.replace("/0", "/9")) as up:
        assert any(re.fullmatch(r" +valkey .* as REDIS_URL says", line) for line in up.lines)
        commands = " ".join(processes(data).values())
        assert "valkey-server" not in commands
        for part in ("memory://tansu/", "postgres", "--role learn", "--role models", "--role record", "reelstream api"):
            assert part in commands
        up.process.kill()
    while processes(data):
        await asyncio.sleep(0.05)
    while answers(int(up.url.rsplit(":", 1)[1])):
        await asyncio.sleep(0.05)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
