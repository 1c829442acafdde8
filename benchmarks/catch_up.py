"""A million events waiting at start: how long until all are applied, and what feeds answer meanwhile.

    python benchmarks/catch_up.py [--events 1000000] [--in-array 1]

On Apache Kafka where there is one (KAFKA_BOOTSTRAP_SERVERS); the log is filled first, then the whole system starts on
it. A client asks for feeds all along, one after the other. One event is posted as soon as the API answers: behind the
backlog of its partition, it shows when a feed knows. The yardsticks are a feed request once everything is applied, and
the time that reading the log takes without doing anything.
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from ingest import fill
from system import apache_kafka, last_line, running_up, summary

from reelstream.topics import create_topics
from schemas import topics
from schemas.settings import Settings

POSTS = 500
EVERY_SECONDS = 2.0


async def read_only(settings: Settings, last: list[int]) -> float:
    """Seconds that a plain consumer takes to read the log."""
    started = time.perf_counter()
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        waited = {TopicPartition(topics.INTERACTIONS, number): end for number, end in enumerate(last)}
        consumer.assign(list(waited))
        while any([await consumer.position(tp) <= end for tp, end in waited.items()]):
            await consumer.getmany(timeout_ms=1000)
    return time.perf_counter() - started


async def fresh(api: httpx.AsyncClient, number: int) -> float:
    """Posts an event of a new user; seconds until the feed of that user is no longer that of a stranger."""
    event = {"username": f"fresh-{number}", "post_id": 1 + number % POSTS, "interaction_type": "like"}
    (await api.post("/api/v1/interaction", json=event)).raise_for_status()
    posted = time.perf_counter()
    while (await ask(api, event["username"]))[0].json()["algorithm_used"].startswith("cold_start"):
        await asyncio.sleep(0.05)
    return time.perf_counter() - posted


async def fresh_meanwhile(api: httpx.AsyncClient, over: asyncio.Event) -> list[float]:
    """`fresh` every two seconds until `over` is set; in the order of posting."""
    trials: list[asyncio.Task[float]] = []
    while not over.is_set():
        trials.append(asyncio.create_task(fresh(api, len(trials))))
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), EVERY_SECONDS)
    return await asyncio.gather(*trials)


async def watch(url: str, started: float) -> dict[str, object]:
    """Asks for feeds until the workers have caught up, and then for as many again."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as api:
        rows = [{"id": number, "title": f"Post {number}"} for number in range(1, POSTS + 1)]
        (await api.post("/api/v1/posts", json=rows)).raise_for_status()
        over, failed, quiet = asyncio.Event(), 0, 0
        waiting = asyncio.create_task(fresh_meanwhile(api, over))
        during: list[float] = []
        while quiet < 3:
            answer, milliseconds = await ask(api, f"u{len(during) % 5000}")
            during.append(milliseconds)
            failed += answer.status_code != 200
            if len(during) % 20 == 0:
                workers = (await api.get("/health/ready")).json()["workers"]
                learn = [worker for worker in workers if worker["role"] == "learn"]
                quiet = quiet + 1 if learn and not any(worker["lag"] for worker in learn) else 0
            await asyncio.sleep(0.02)
        caught_up = time.perf_counter() - started
        over.set()
        behind = await waiting
        after = [(await ask(api, f"u{number % 5000}"))[1] for number in range(min(len(during), 500))]
        settled = [await fresh(api, len(behind) + number) for number in range(20)]
    return {
        "seconds_from_start": round(caught_up, 1), "event_to_feed_of_the_first_seconds": round(behind[0], 1),
        "event_to_feed_during": summary([seconds * 1000 for seconds in behind]), "events_posted_during": len(behind),
        "event_to_feed_after": summary([seconds * 1000 for seconds in settled]),
        "feeds_asked": len(during), "feeds_failed": failed, "feed_during": summary(during),
        "feed_after": summary(after),
    }  # fmt: skip


async def ask(api: httpx.AsyncClient, username: str) -> tuple[httpx.Response, float]:
    before = time.perf_counter()
    answer = await api.get("/api/v1/feed", params={"username": username, "page_size": 20})
    return answer, (time.perf_counter() - before) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--in-array", type=int, default=1, help="events a message")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, apache_kafka(Path(folder)) as kafka:
        if kafka is None:
            raise SystemExit("this needs an Apache Kafka: set KAFKA_BOOTSTRAP_SERVERS")
        settings = Settings(kafka_bootstrap_servers=kafka)
        asyncio.run(create_topics(settings))
        last, count = asyncio.run(fill(settings, arguments.events, arguments.in_array))
        reading = asyncio.run(read_only(settings, last))
        print(f"{count} events wait; reading them takes {reading:.1f} s", flush=True)
        started = time.perf_counter()
        with running_up(Path(folder) / "state", {"KAFKA_BOOTSTRAP_SERVERS": kafka}) as url:
            figures = asyncio.run(watch(url, started))
    seconds = float(str(figures["seconds_from_start"]))
    last_line(
        {"events": count, "events_per_second": round(count / seconds), "ratio_to_reading": round(reading / seconds, 4),
         "read_only_seconds": round(reading, 1), **figures}
    )  # fmt: skip


if __name__ == "__main__":
    main()
