"""From POST acknowledged to the user's feed reflecting it: median and 99th percentile, idle and under load.

    python benchmarks/freshness.py [--trials 200] [--load 500]

On the embedded broker, and on Apache Kafka where there is one (KAFKA_BOOTSTRAP_SERVERS). A trial likes the first post
of a new user's feed and asks for the feed again until the post is gone. Beside it, where the time goes: the POST
itself (produce and acknowledge), produced → applied as the worker measures it (fetch and apply), one feed request, and
POST acknowledged → the post's count has changed (both stages and the API's mirror). The yardstick is a feed request
on the same connection: the shortest time in which a change could be seen.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer
from system import apache_kafka, last_line, running_up, summary

from reelstream.addresses import load_settings
from schemas import topics
from schemas.settings import Settings

POSTS = 1_000


async def publish_posts(api: httpx.AsyncClient) -> None:
    rows = [
        {"id": number, "title": f"Post {number}", "category": f"Category {number % 10}"} for number in range(1, POSTS)
    ]
    (await api.post("/api/v1/posts", json=rows)).raise_for_status()
    while (await api.get("/api/v1/feed", params={"username": "probe"})).json()["total_count"] < POSTS - 1:
        await asyncio.sleep(0.1)


async def trial(api: httpx.AsyncClient, number: int) -> dict[str, float]:
    """Times of one trial in milliseconds."""
    feed = {"username": f"trial-{number}-{random.random()}", "page_size": 10}
    before = time.perf_counter()
    post_id = (await api.get("/api/v1/feed", params=feed)).json()["post"][0]["id"]
    asked = time.perf_counter()
    counted = (await api.get(f"/api/v1/posts/{post_id}")).json()["counts"].get("inspire", 0)
    event = {"username": feed["username"], "post_id": post_id, "interaction_type": "inspire"}
    sent = time.perf_counter()
    (await api.post("/api/v1/interaction", json=event)).raise_for_status()
    accepted = time.perf_counter()

    async def reflected() -> float:
        while any(item["id"] == post_id for item in (await api.get("/api/v1/feed", params=feed)).json()["post"]):
            await asyncio.sleep(0.002)
        return time.perf_counter()

    async def mirrored() -> float:
        while (await api.get(f"/api/v1/posts/{post_id}")).json()["counts"].get("inspire", 0) <= counted:
            await asyncio.sleep(0.002)
        return time.perf_counter()

    seen, count_seen = await asyncio.gather(reflected(), mirrored())
    spans = {
        "feed": asked - before,
        "post": accepted - sent,
        "reflected": seen - accepted,
        "mirrored": count_seen - accepted,
    }
    return {name: span * 1000 for name, span in spans.items()}


async def generate(settings: Settings, rate: int) -> None:
    """The load: single views of 500 users, straight to Kafka as another system sends them, until it is ended."""
    async with AIOKafkaProducer(
        bootstrap_servers=settings.require("KAFKA_BOOTSTRAP_SERVERS"), enable_idempotence=settings.kafka_idempotence
    ) as producer:
        start, number = time.perf_counter(), 0
        while True:
            number += 1
            username = f"load-{number % 500}"
            event = {"username": username, "post_id": random.randrange(1, POSTS), "interaction_type": "view"}
            await producer.send(topics.INTERACTIONS, json.dumps(event).encode(), key=username.encode())
            await asyncio.sleep(max(start + number / rate - time.perf_counter(), 0))


@contextmanager
def load(state: Path, rate: int) -> Iterator[None]:
    """Generates in a process of its own, so that its work is not in the times of the trials."""
    if not rate:
        yield
        return
    command = [sys.executable, __file__, "--generate", str(rate), "--data", str(state)]
    with subprocess.Popen(command) as generator:
        time.sleep(5)
        yield
        generator.kill()


async def measure(url: str, trials: int) -> dict[str, object]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as api:
        await publish_posts(api)
        times = [await trial(api, number) for number in range(trials)]
        metrics = (await api.get("/metrics")).text
        applied = {
            quantile: round(float(seconds) * 1000, 2)
            for quantile, seconds in re.findall(
                r'^reelstream_event_to_feed_seconds\{quantile="([\d.]+)",worker="learn-0"\} (\S+)',
                metrics,
                re.MULTILINE,
            )
        }
    figures: dict[str, object] = {name: summary([each[name] for each in times]) for name in times[0]}
    return {**figures, "produced_to_applied_ms": applied}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--load", type=int, default=500, help="events a second in the loaded half")
    parser.add_argument("--generate", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.generate:
        asyncio.run(generate(load_settings(arguments.data), arguments.generate))
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, apache_kafka(Path(folder)) as kafka:
        brokers = {"embedded": None} if kafka is None else {"embedded": None, "apache_kafka": kafka}
        for name, address in brokers.items():
            environment = {"KAFKA_BOOTSTRAP_SERVERS": address} if address else {}
            with running_up(Path(folder) / name, environment) as url:
                for state, rate in {"idle": 0, f"{arguments.load}_events_per_second": arguments.load}.items():
                    with load(Path(folder) / name, rate):
                        figures = asyncio.run(measure(url, arguments.trials))
                    ratio = figures["reflected"]["p50_ms"] / figures["feed"]["p50_ms"]
                    results[f"{name}_{state}"] = {**figures, "ratio_to_one_feed_request": round(ratio, 2)}
                    print(f"{name}, {state}: {json.dumps(results[f'{name}_{state}'])}", flush=True)
    last_line(results)


if __name__ == "__main__":
    main()
