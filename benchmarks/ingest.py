"""Events a second of one worker, all effects of both stages, against a Faust agent that does nothing, in one run.

    python benchmarks/ingest.py [--events 100000] [--arrays 400000]

The topic is filled first; each worker then reads it from the start, alone. A worker's time runs from its first applied
message to its last, the no-op agent's from its first event to its last; CPU time covers the same span. The broker is
KAFKA_BOOTSTRAP_SERVERS, or an embedded one. Redis and the log are real; nothing else runs meanwhile.

With two workers the clock starts when both say that they own their half of the partitions, so that joining the group
isn't in it; the events that were applied before don't count.

`cores` says what the programs took of the machine's cores in that span: where they sum up to all there are, it is the
machine that limits. `two_to_one_by_cpu` is what two workers would do with a core each: what one takes of CPU an event,
against what each of two takes.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis
from system import embedded_services, last_line

from schemas import heartbeat, keys, marks, topics
from schemas.item_state import ItemState
from schemas.settings import Settings
from schemas.topics import owner

USERS = 5_000
POSTS = 5_000
"""The tenth of the posts that is touched most takes 46 % of the events, as on the platform of the external API (48)."""


def noop(settings: Settings, expected: int, arrays: bool) -> None:
    """The yardstick: Faust as it comes, the same settings, an agent that only counts; prints its span as JSON."""
    import faust
    import uvloop

    uvloop.install()
    app = faust.App(
        f"noop-{uuid.uuid4().hex[:8]}", broker=f"kafka://{settings.kafka_bootstrap_servers}", store="memory://",
        web_enabled=False, autodiscover=False, reply_create_topic=False, topic_allow_declare=False,
        topic_disable_leader=True, consumer_auto_offset_reset="earliest", broker_session_timeout=6,
        broker_heartbeat_interval=2, broker_rebalance_timeout=10, broker_request_timeout=30,
        worker_redirect_stdouts=False, table_standby_replicas=0,
    )  # fmt: skip
    app._create_directories = lambda: None
    topic = app.topic(
        topics.INTERACTIONS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    process = psutil.Process()

    def cpu() -> float:
        times = process.cpu_times()
        return times.user + times.system

    @app.agent(topic)
    async def count(stream):
        seen = 0
        async for value in stream:
            if seen == 0:
                start, start_cpu = time.perf_counter(), cpu()
            seen += value.count(b'"username"') if arrays else 1
            if seen >= expected and start:
                print(json.dumps({"seconds": time.perf_counter() - start, "cpu": cpu() - start_cpu}), flush=True)
                start = None

    faust.Worker(app, loglevel="WARN").execute_from_commandline()


def run_noop(environment: dict[str, str], expected: int, arrays: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--noop", str(expected), *(["--as-arrays"] if arrays else [])]
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        try:
            for line in child.stdout:
                if line.startswith('{"seconds"'):
                    return json.loads(line)
            raise SystemExit("the no-op agent ended without a result")
        finally:
            child.terminate()


async def run_workers(
    settings: Settings, environment: dict[str, str], last: list[int], count: int, workers: int = 1, models: bool = False
) -> dict[str, Any]:
    """Starts learn workers on an empty Redis and waits until both stages have applied the whole log.

    Counted from the moment when every worker has its share of the partitions. last: the last offset of each partition
    of interactions; ends are not asked of the broker: the embedded one tells wrong ones. models: with a worker beside
    them that teaches the global models.
    """
    redis = Redis.from_url(settings.redis_url)
    await redis.flushdb()
    roles = [("learn", slot) for slot in range(workers)] + [("models", 0)] * models
    command = [sys.executable, "-m", "reelstream", "worker"]
    children = [
        subprocess.Popen([*command, "--role", role, "--slot", str(slot)], env={**os.environ, **environment})
        for role, slot in roles
    ]
    processes = [psutil.Process(child.pid) for child in children[:workers]]

    def cpu() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    def cores() -> dict[str, float]:
        spent = {"workers": cpu(), "benchmark": sum(psutil.Process().cpu_times()[:2])}
        services = {child.pid for child in psutil.Process().children()} - {child.pid for child in children}
        for service in map(psutil.Process, services):
            spent[service.name()] = spent.get(service.name(), 0.0) + sum(service.cpu_times()[:2])
        for child in children[workers:]:
            spent["models"] = sum(psutil.Process(child.pid).cpu_times()[:2])
        return spent

    names = [keys.interactions_mark(partition) for partition in range(settings.kafka_partitions)]
    start: tuple[float, dict[str, float], int] | None = None
    try:
        while True:
            await asyncio.sleep(0.01)
            applied = [marks.decode(mark, marks.InteractionsMark).offset for mark in await redis.mget(names)]
            if start is None and max(applied) >= 0 and await shared(redis, workers, settings.kafka_partitions):
                start = time.perf_counter(), cores(), await counted(redis, settings)
            if applied == last and start and await counted(redis, settings) == count:
                seconds, before = time.perf_counter() - start[0], start[2]
                used = {name: spent - start[1].get(name, 0.0) for name, spent in cores().items()}
                return {
                    "seconds": seconds, "cpu": used["workers"], "events": count - before,
                    "cores": {name: round(spent / seconds, 2) for name, spent in used.items()},
                }  # fmt: skip
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait()
        await redis.aclose()


async def shared(redis: Redis, workers: int, partitions: int) -> bool:
    """Whether every worker says that it owns its part of the partitions of interactions."""
    beats = [await redis.get(keys.worker(f"learn-{slot}")) for slot in range(workers)]
    owned = [
        {name for name in heartbeat.decode(beat).partitions if name.startswith(topics.INTERACTIONS)}
        for beat in beats
        if beat
    ]
    return [len(each) for each in owned] == [partitions // workers] * workers


async def counted(redis: Redis, settings: Settings) -> int:
    """Interactions in the counters of all posts."""
    names = [keys.item_state(owner(str(post), settings.kafka_partitions), post) for post in range(1, POSTS + 1)]
    return sum(sum(ItemState.decode(state).counts.values()) for state in await redis.mget(names))


async def fill(settings: Settings, count: int, in_array: int) -> tuple[list[int], int]:
    """`count` events of skewed users and posts; `in_array` of one partition a message.

    Returns the last offset of each partition, and how many events were sent: full arrays only.
    """
    rng = random.Random(1)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, linger_ms=5)
    await producer.start()
    waiting: dict[int, list[dict]] = {p: [] for p in range(settings.kafka_partitions)}
    sent = []
    for number in range(count):
        username = f"u{int(USERS * rng.random() ** 2)}"
        event = {
            "event_id": f"e{number}", "username": username, "post_id": int(POSTS * rng.random() ** 3) + 1,
            "interaction_type": rng.choice(["view", "view", "view", "like"]),
        }  # fmt: skip
        home = owner(username, settings.kafka_partitions)
        waiting[home].append(event)
        if len(waiting[home]) == in_array:
            value = json.dumps(waiting[home] if in_array > 1 else event).encode()
            sent.append(await producer.send(topics.INTERACTIONS, value, key=username.encode(), partition=home))
            waiting[home] = []
    last = [-1] * settings.kafka_partitions
    for place in await asyncio.gather(*sent):
        last[place.partition] = max(last[place.partition], place.offset)
    await producer.stop()
    return last, len(sent) * in_array


@contextmanager
def filled(count: int, in_array: int) -> Iterator[tuple[Settings, dict[str, str], list[int], int]]:
    """Services of their own with a log of `count` events: settings, environment, last offsets, how many it has."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as state,
        embedded_services(Path(state)) as environment,
    ):
        settings = Settings(**{name.lower(): value for name, value in environment.items()})
        last, count = asyncio.run(fill(settings, count, in_array))
        yield settings, environment, last, count


def measure(count: int, in_array: int) -> dict[str, Any]:
    with filled(count, in_array) as (settings, environment, last, count):
        yardstick = run_noop(environment, count * 9 // 10, in_array > 1)
        ours = asyncio.run(run_workers(settings, environment, last, count))
    with filled(count, in_array) as (settings, environment, last, again):
        taught = asyncio.run(run_workers(settings, environment, last, again, models=True))
    with filled(2 * count, in_array) as (settings, environment, last, more):
        both = asyncio.run(run_workers(settings, environment, last, more, workers=2))
    figures = {
        "events": ours["events"],
        "noop_events_per_second": count * 0.9 / yardstick["seconds"],
        "worker_events_per_second": ours["events"] / ours["seconds"],
        "noop_cpu_us": yardstick["cpu"] / (count * 0.9) * 1e6,
        "worker_cpu_us": ours["cpu"] / ours["events"] * 1e6,
        "events_per_cpu_second": ours["events"] / ours["cpu"],
        "with_models_events_per_second": taught["events"] / taught["seconds"],
        "two_workers_events_per_second": both["events"] / both["seconds"],
        "two_workers_cpu_us": both["cpu"] / both["events"] * 1e6,
    }
    figures["ratio"] = figures["worker_events_per_second"] / figures["noop_events_per_second"]
    figures["ratio_with_models"] = figures["with_models_events_per_second"] / figures["noop_events_per_second"]
    figures["cpu_ratio"] = figures["noop_cpu_us"] / figures["worker_cpu_us"]
    figures["two_to_one"] = figures["two_workers_events_per_second"] / figures["worker_events_per_second"]
    figures["two_to_one_by_cpu"] = 2 * figures["worker_cpu_us"] / figures["two_workers_cpu_us"]
    figures = {name: round(value, 3) for name, value in figures.items()}
    figures |= {"cores": ours["cores"], "cores_with_models": taught["cores"], "cores_of_two": both["cores"]}
    print(figures, flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000, help="single events")
    parser.add_argument("--arrays", type=int, default=400_000, help="events in arrays of 50")
    parser.add_argument("--noop", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--as-arrays", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.noop:
        return noop(Settings.load(), arguments.noop, arguments.as_arrays)
    single, arrays = measure(arguments.events, 1), measure(arguments.arrays, 50)
    last_line({"single": single, "arrays_of_50": arrays})


if __name__ == "__main__":
    main()
