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
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
from system import apache_kafka, last_line, running_up, summary

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
            await asyncio.sleep(0.001)
        return time.perf_counter()

    async def mirrored() -> float:
        while (await api.get(f"/api/v1/posts/{post_id}")).json()["counts"].get("inspire", 0) <= counted:
            await asyncio.sleep(0.001)
        return time.perf_counter()

    seen, count_seen = await asyncio.gather(reflected(), mirrored())
    spans = {
        "feed": asked - before,
        "post": accepted - sent,
        "reflected": seen - accepted,
        "mirrored": count_seen - accepted,
    }
    return {name: span * 1000 for name, span in spans.items()}


async def load(api: httpx.AsyncClient, rate: int) -> None:
    """Single interactions of 500 users at `rate` a second, until cancelled."""
    pending: set[asyncio.Task[httpx.Response]] = set()
    start, number = time.perf_counter(), 0
    while True:
        number += 1
        event = {"username": f"load-{number % 500}", "post_id": random.randrange(1, POSTS), "interaction_type": "view"}
        task = asyncio.create_task(api.post("/api/v1/interaction", json=event))
        pending.add(task)
        task.add_done_callback(pending.discard)
        await asyncio.sleep(max(start + number / rate - time.perf_counter(), 0))


async def measure(url: str, trials: int, rate: int) -> dict[str, object]:
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as api:
        await publish_posts(api)
        loading = asyncio.create_task(load(api, rate)) if rate else None
        if loading:
            await asyncio.sleep(3)
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
        if loading:
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
    figures: dict[str, object] = {name: summary([each[name] for each in times]) for name in times[0]}
    return {**figures, "produced_to_applied_ms": applied}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--load", type=int, default=500, help="events a second in the loaded half")
    arguments = parser.parse_args()
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, apache_kafka(Path(folder)) as kafka:
        brokers = {"embedded": None} if kafka is None else {"embedded": None, "apache_kafka": kafka}
        for name, address in brokers.items():
            environment = {"KAFKA_BOOTSTRAP_SERVERS": address} if address else {}
            with running_up(Path(folder) / name, environment) as url:
                for state, rate in {"idle": 0, f"{arguments.load}_events_per_second": arguments.load}.items():
                    figures = asyncio.run(measure(url, arguments.trials, rate))
                    ratio = figures["reflected"]["p50_ms"] / figures["feed"]["p50_ms"]
                    results[f"{name}_{state}"] = {**figures, "ratio_to_one_feed_request": round(ratio, 2)}
                    print(f"{name}, {state}: {json.dumps(results[f'{name}_{state}'])}", flush=True)
    last_line(results)


if __name__ == "__main__":
    main()
