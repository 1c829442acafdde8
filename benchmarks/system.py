"""What the benchmarks run against: a whole `reelstream up`, or only a broker and a Redis, on free ports."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from reelstream.child import Child, free_port, free_port_pair, until_ready
from reelstream.embedded import broker, valkey
from reelstream.topics import create_topics
from schemas.settings import Settings

APACHE_KAFKA = Path(__file__).parents[2] / "shared" / "kafka" / "kafka"
"""Where a development checkout has one; `KAFKA_BOOTSTRAP_SERVERS` names any other."""


@contextmanager
def running(child: Child, log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(child.command, stdout=output, stderr=output, **child.popen_arguments())
    try:
        asyncio.run(until_ready(child, 60))
        yield
    finally:
        process.send_signal(child.stop_signal)
        process.wait(30)


@contextmanager
def apache_kafka(state: Path) -> Iterator[str | None]:
    """Address of an Apache Kafka: the environment's, or one of our own; None when there is neither."""
    if address := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield address
    elif APACHE_KAFKA.exists():
        port = free_port_pair()
        command = [str(APACHE_KAFKA), "run", "--port", str(port), "--data", str(state / "kafka")]
        child = Child(name="kafka", command=command, ready=lambda: broker.answers_at(port))
        with running(child, state / "kafka.log"):
            yield broker.address(port)
    else:
        yield None


@contextmanager
def embedded_services(state: Path) -> Iterator[dict[str, str]]:
    """Environment of a broker (the environment's, or an embedded one) with fresh topics, and an embedded Valkey."""
    with ExitStack() as stack:
        redis_port = free_port()
        stack.enter_context(running(valkey.child(state, redis_port), state / "valkey.log"))
        environment = {"REDIS_URL": valkey.address(redis_port)}
        if address := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
            environment["KAFKA_BOOTSTRAP_SERVERS"] = address
        else:
            port = free_port()
            stack.enter_context(running(broker.child(port), state / "broker.log"))
            environment |= {
                "KAFKA_BOOTSTRAP_SERVERS": broker.address(port),
                "KAFKA_FETCH_MAX_WAIT_MS": "20",
                "KAFKA_IDEMPOTENCE": "false",
                "KAFKA_STATIC_MEMBERSHIP": "false",
            }
        asyncio.run(create_topics(Settings(kafka_bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])))
        yield environment


@contextmanager
def running_up(state: Path, environment: dict[str, str]) -> Iterator[str]:
    """A `reelstream up` without training; yields its URL."""
    command = [sys.executable, "-m", "reelstream", "up", "--port", "0", "--no-train", "--data", str(state)]
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True) as up:
        try:
            for line in up.stdout:
                if line.startswith("ready "):
                    yield line.split()[1]
                    break
            else:
                raise SystemExit("`reelstream up` ended before it was ready")
        finally:
            up.terminate()
            up.stdout.read()


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    ordered = sorted(milliseconds)
    return {"p50_ms": round(ordered[len(ordered) // 2], 2), "p99_ms": round(ordered[int(len(ordered) * 0.99)], 2)}


def last_line(figures: object) -> None:
    print(json.dumps(figures))
