"""Feeds a second, and how long one takes, beside a route that does nothing and one that reads a key of Redis.

    python benchmarks/serving.py [--posts 10000] [--users 5000] [--events 100000] [--seconds 10]
        [--processes 1] [--returning 500] [--live 0]

`reelstream api` on what workers and trainer leave in Redis (serving_world.py): generated posts and histories, some of
both far busier than others, the learnt blend, `svd`, `deep` and `ranker` with their ONNX graphs. wrk (Debian: apt
install wrk) asks for feeds of 20, one connection for the times and eight for the rate, each route alone, one after the
other; the load generator is on the same machine. Two kinds of feeds:

    cold   of all users in turn, each request leaving out another post: no list that was ranked can be used again
    warm   of --returning users in turn: their lists are kept, until an event of theirs; --live writes so many events
           of them a second to Redis, as workers do
"""

import argparse
import asyncio
import json
import os
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
from serving_world import fill
from system import embedded_services, last_line

from reelstream.child import free_port
from schemas import keys
from schemas.topics import owner

PARTITIONS = 4
ONE, MANY = 1, 8
"""Connections."""
WARM_UP = 15
"""Seconds until each process has ranked the list of each of some hundred users."""
IN_A_ROW = 20
"""Good answers after which each of a few processes has given one: of two, one is left out once in 500,000."""
_LATENCY = re.compile(r"^\s+(50|90|99)%\s+([\d.]+)(us|ms|s)$", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)$", re.MULTILINE)
_FAILED = re.compile(r"(Non-2xx or 3xx responses: \d+|Socket errors: .*)")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
COLD = """
local number = 0
request = function()
  number = number + 1
  local address = "/api/v1/feed?page_size=20&username=u%%d&exclude=%%d"
  return wrk.format("GET", address:format(number * 7919 %% %d, os.time() %% 1000000 * 100000 + number))
end
"""
WARM = """
local number = 0
request = function()
  number = number + 1
  return wrk.format("GET", "/api/v1/feed?page_size=20&username=u" .. (number * 31 %% %d))
end
"""


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
def served(processes: int, environment: dict[str, str]) -> Iterator[tuple[str, float, float]]:
    """The URL of an API of so many processes, and the seconds until it answered, and until it had all there is."""
    port, started = free_port(), time.monotonic()
    command = [sys.executable, "-m", "reelstream", "api", "--port", str(port), "--processes", str(processes)]
    with subprocess.Popen(command, env={**os.environ, **environment}) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            times = 1 if processes == 1 else IN_A_ROW
            wait_until_ready(f"{url}/api/v1/feed?username=u1", times)
            first = time.monotonic() - started
            while not _whole(url, times):
                time.sleep(0.05)
            yield url, first, time.monotonic() - started
        finally:
            process.terminate()


def _whole(url: str, times: int) -> bool:
    """Whether so many answers in a row, each over a connection of its own, have all there is. The first that lacks
    something ends it, as feeds keep a process from loading."""
    answers = (httpx.get(f"{url}/api/v1/feed?username=u1").json() for _ in range(times))
    return all(
        {*answer["model_versions"]} == {"svd", "deep", "ranker", "online"} and not answer["degraded"]
        for answer in answers
    )


@contextmanager
def living(rate: int, redis_url: str, users: int, posts: int) -> Iterator[None]:
    if not rate:
        yield
        return
    command = [sys.executable, str(Path(__file__).with_name("serving_world.py")), redis_url, str(PARTITIONS)]
    with subprocess.Popen([*command, str(users), str(posts), str(rate)]) as process:
        try:
            yield
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


def api_memory(url: str) -> tuple[int, int]:
    """MiB of the largest process that listens on the port of `url`, and those that it has for itself alone: without the
    code of libraries, which all processes share."""
    port = int(url.rsplit(":", 1)[1])
    pids = {each.pid for each in psutil.net_connections("tcp") if each.laddr.port == port and each.status == "LISTEN"}
    parents = [psutil.Process(pid) for pid in pids if pid]
    family = [each for parent in parents for each in (parent, *parent.children())]
    largest = max((each.memory_full_info() for each in family), key=lambda found: found.rss)
    return largest.rss >> 20, largest.uss >> 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--returning", type=int, default=500)
    parser.add_argument("--live", type=int, default=0)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk (Debian: apt install wrk)")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        state = Path(folder)
        scripts = {"cold": COLD % options.users, "warm": WARM % options.returning}
        for name, script in scripts.items():
            (state / name).write_text(script)
        with embedded_services(state) as environment:
            redis_url = environment["REDIS_URL"]
            asyncio.run(fill(redis_url, PARTITIONS, options.posts, options.users, options.events))
            environment |= {"KAFKA_PARTITIONS": str(PARTITIONS)}
            key = keys.user_state(owner("u1", PARTITIONS), "u1")
            with (
                served(options.processes, environment) as (feeds, started, whole),
                yardsticks(redis_url, key) as others,
            ):
                routes = [("nothing", f"{others}/nothing"), ("one_read", f"{others}/one-read")]
                routes += [(name, feeds, "-s", str(state / name)) for name in scripts]
                figures = {}
                for name, address, *arguments in routes:
                    with living(options.live if name == "warm" else 0, redis_url, options.returning, options.posts):
                        load(address, WARM_UP if name == "warm" else 3, MANY, *arguments)
                        figures[name] = {
                            "one_client": load(address, options.seconds, ONE, *arguments),
                            "eight_clients": load(address, options.seconds, MANY, *arguments),
                        }
                memory, own = api_memory(feeds)
    print(json.dumps(figures, indent=2))
    rates = {name: each["eight_clients"]["per_second"] for name, each in figures.items()}
    last_line({
        "posts": options.posts, "users": options.users, "processes": options.processes, "live": options.live,
        "cold": figures["cold"], "warm": figures["warm"], "api_mib": memory, "api_own_mib": own,
        "first_answer_s": round(started, 1), "whole_s": round(whole, 1),
        "ratio_to_one_read": {name: round(rates[name] / rates["one_read"], 3) for name in scripts},
        "ratio_to_nothing": {name: round(rates[name] / rates["nothing"], 3) for name in scripts},
    })  # fmt: skip


if __name__ == "__main__":
    main()
