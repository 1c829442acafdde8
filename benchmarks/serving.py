"""Feeds a second, and how long one takes, beside a route that does nothing and one that reads a key of Redis.

    python benchmarks/serving.py [--posts 10000] [--users 5000] [--events 200000] [--seconds 10]
        [--processes 1]

A whole `reelstream up` with generated posts and histories (some posts and users far busier than others), once all of
them are applied. wrk (Debian: apt install wrk) asks for feeds of 20 of users in turn: one connection for the times,
eight for the rate, the same for each route, one after the other. The load generator is on the same machine. With more
than one process, feeds come from `reelstream api --processes` beside the one of `up`.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from system import last_line, running_up

from reelstream.addresses import load_settings
from reelstream.child import free_port
from reelstream.state import read_running
from schemas import keys
from schemas.topics import owner

ONE, MANY = 1, 8
"""Connections."""
IN_A_ROW = 20
"""Good answers after which each of a few processes has given one: of two, one is left out once in 500,000."""
_LATENCY = re.compile(r"^\s+(50|90|99)%\s+([\d.]+)(us|ms|s)$", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)$", re.MULTILINE)
_FAILED = re.compile(r"(Non-2xx or 3xx responses: \d+|Socket errors: .*)")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_SCRIPT = """
local number = 0
request = function()
  number = number + 1
  return wrk.format("GET", "/api/v1/feed?page_size=20&username=u" .. (number * 7919 %% %d))
end
"""


async def fill(url: str, posts: int, users: int, events: int) -> None:
    """Posts, then likes and views of theirs; returns when the workers have applied all."""
    draw = random.Random(1)
    async with httpx.AsyncClient(base_url=url, timeout=60) as api:
        for start in range(1, posts + 1, 1000):
            rows = [
                {"id": number, "title": f"Post {number}", "category": f"Category {number % 20}",
                 "username": f"author{number % 500}", "tags": [f"tag{number % 97}"]}
                for number in range(start, min(start + 1000, posts + 1))
            ]  # fmt: skip
            (await api.post("/api/v1/posts", json=rows)).raise_for_status()
        for _ in range(0, events, 1000):
            rows = [
                {"username": f"u{int(users * draw.random() ** 2)}", "post_id": 1 + int(posts * draw.random() ** 3),
                 "interaction_type": draw.choice(("view", "like"))}
                for _ in range(1000)
            ]  # fmt: skip
            (await api.post("/api/v1/interactions", json=rows)).raise_for_status()
        quiet = 0
        while quiet < 5:
            workers = (await api.get("/health/ready")).json()["workers"]
            quiet = 0 if any(worker["lag"] for worker in workers) else quiet + 1
            await asyncio.sleep(1.0)


def wait_until_ready(url: str, times: int = 1) -> None:
    """Until so many answers in a row are good, each over a connection of its own."""
    good = 0
    while good < times:
        try:
            good = good + 1 if httpx.get(url).is_success else 0
        except httpx.TransportError:
            good = 0
        if not good:
            time.sleep(0.1)


@contextmanager
def yardsticks(redis_url: str, key: str) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("yardstick_routes.py")), str(port), redis_url, key]
    with subprocess.Popen(command) as process:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/nothing")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def served_by(processes: int, state: Path, url: str) -> Iterator[str]:
    """The URL of an API of so many processes."""
    running = read_running(state)
    if processes == 1 or running is None:
        yield url
        return
    port = free_port()
    command = [sys.executable, "-m", "reelstream", "api", "--port", str(port), "--processes", str(processes)]
    with subprocess.Popen(command, env={**os.environ, **running.environment}) as process:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/health/ready", IN_A_ROW)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def load(url: str, seconds: int, connections: int, *script: str) -> dict[str, float]:
    """What wrk says: requests a second, and percentiles in milliseconds."""
    command = ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", *script, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if failed := _FAILED.search(said):
        raise SystemExit(f"{url}: {failed[0]}")
    rate = _RATE.search(said)
    if rate is None:
        raise SystemExit(f"wrk said nothing of {url}:\n{said}")
    found = _LATENCY.findall(said)
    times = {f"p{part}_ms": round(float(value) * _MILLISECONDS[unit], 2) for part, value, unit in found}
    return {"per_second": round(float(rate[1])), **times}


def api_memory(url: str) -> int:
    """MiB of the process that listens on the port of `url`."""
    port = int(url.rsplit(":", 1)[1])
    pids = {each.pid for each in psutil.net_connections("tcp") if each.laddr.port == port and each.status == "LISTEN"}
    return max(psutil.Process(pid).memory_info().rss for pid in pids if pid) >> 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk (Debian: apt install wrk)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        state, script = Path(folder) / "state", Path(folder) / "feeds.lua"
        script.write_text(_SCRIPT % options.users)
        with running_up(state, {}) as url:
            asyncio.run(fill(url, options.posts, options.users, options.events))
            settings = load_settings(state)
            key = keys.user_state(owner("u1", settings.kafka_partitions), "u1")
            with (
                served_by(options.processes, state, url) as feeds,
                yardsticks(settings.require("REDIS_URL"), key) as others,
            ):
                load(feeds, 3, MANY, "-s", str(script))
                figures = {
                    name: {
                        "one_client": load(address, options.seconds, ONE, *arguments),
                        "eight_clients": load(address, options.seconds, MANY, *arguments),
                    }
                    for name, address, *arguments in (
                        ("nothing", f"{others}/nothing"),
                        ("one_read", f"{others}/one-read"),
                        ("feed", feeds, "-s", str(script)),
                    )
                }
                memory = api_memory(feeds)
    print(json.dumps(figures, indent=2))
    rates = {name: each["eight_clients"]["per_second"] for name, each in figures.items()}
    last_line({
        "posts": options.posts, "users": options.users, "processes": options.processes, **figures["feed"],
        "api_mib": memory,
        "ratio_to_one_read": round(rates["feed"] / rates["one_read"], 3),
        "ratio_to_nothing": round(rates["feed"] / rates["nothing"], 3),
    })  # fmt: skip


if __name__ == "__main__":
    main()
