"""Parts that are missing, gone or back: the API starts, answers and recovers by itself."""

import asyncio
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.producer import Producer, Record
from reelstream.child import Child, until_ready
from reelstream.embedded import broker as embedded_broker
from reelstream.embedded import valkey as embedded_valkey
from reelstream.topics import create_topics
from schemas import topics
from schemas.errors import ServiceUnavailable
from schemas.settings import Settings

EVENT = {"username": "u", "post_id": 1, "interaction_type": "like"}


@contextmanager
def killed_at_the_end(child: Child) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(child.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_readiness_needs_every_part_and_a_worker_of_each_role(client: httpx.AsyncClient, worker: Any) -> None:
    worker.beat("learn")
    worker.beat("models")
    half = await client.get("/health/ready")
    worker.beat("record")
    whole = await client.get("/health/ready")
    assert (half.status_code, whole.status_code) == (503, 200), whole.text
    assert half.json()["parts"]["workers"]["up"] is False
    assert all(part["up"] for part in whole.json()["parts"].values())
    assert whole.json()["workers"][0]["lag"] == 3
    metrics = (await client.get("/metrics")).text
    assert 'reelstream_consumer_lag{partition="0",topic="interactions",worker="learn-0"} 3.0' in metrics
    assert 'reelstream_event_to_feed_seconds{quantile="0.99",worker="learn-0"} 0.02' in metrics
    assert 'route="/health/ready",status="200"' in metrics


async def test_kafka_may_be_missing_at_start_come_go_and_come_back(
    worker: Any, redis_url: str, free_port: Callable[[], int], serve: Any, feed: Any, until: Any
) -> None:
    kafka_port = free_port()
    kafka = embedded_broker.address(kafka_port)
    with serve(free_port(), redis_url, kafka) as address:
        # A client that waits no longer than the promised 2 s.
        async with httpx.AsyncClient(base_url=address, timeout=2.0) as client:

            async def accepted() -> bool:
                return (await client.post("/api/v1/interaction", json=EVENT)).status_code == 202

            async def loaded() -> bool:
                return bool((await feed(client, "u"))["post"])

            async def refused_but_feeds_go_on() -> None:
                refused = await client.post("/api/v1/interactions", json=[EVENT, {**EVENT, "event_id": "mine"}])
                assert refused.status_code == 503
                assert int(refused.headers["Retry-After"]) > 0
                assert refused.json()["event_ids"][1] == "mine"
                assert (await feed(client, "u"))["post"]
                ready = (await client.get("/health/ready")).json()
                assert ready["parts"]["kafka"]["up"] is False
                assert ready["parts"]["postgres"] == {"up": False, "detail": "DATABASE_URL is not set"}

            await until(loaded)
            await refused_but_feeds_go_on()
            for _ in range(2):
                child = embedded_broker.child(kafka_port)
                with killed_at_the_end(child):
                    await until_ready(child, 20)
                    await create_topics(Settings(kafka_bootstrap_servers=kafka))
                    await until(accepted, 30)
                await refused_but_feeds_go_on()


async def test_what_nobody_waits_for_is_delivered_when_a_busy_broker_answers_late(
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    child, settings = embedded_broker.child(port), Settings(
        _env_file=None, kafka_bootstrap_servers=embedded_broker.address(port), kafka_idempotence=False
    )  # fmt: skip
    records = [Record(topics.IMPRESSIONS, b"u", b"x" * 3_000, number % 4) for number in range(400)]
    producer = Producer(settings)
    with killed_at_the_end(child) as broker:
        await until_ready(child, 20)
        await create_topics(settings)
        await producer.connect()
        assert await producer.deliver(records) == len(records)
        broker.send_signal(signal.SIGSTOP)
        late = asyncio.create_task(producer.deliver(records))
        with pytest.raises(ServiceUnavailable):
            await producer.send(records[:1])
        assert not late.done()
        broker.send_signal(signal.SIGCONT)
        assert await late == len(records)
    assert await producer.deliver(records[:2]) == 0
    await producer.close()


async def test_redis_may_be_missing_at_start_come_and_go(
    free_port: Callable[[], int], tansu: str, serve: Any, feed: Any, until: Any, tmp_path: Path
) -> None:
    port = free_port()
    with serve(free_port(), embedded_valkey.address(port), tansu) as address:
        async with httpx.AsyncClient(base_url=address) as client:

            async def degraded() -> list[str]:
                return [part.split(":")[0] for part in (await feed(client, "u"))["degraded"]]

            async def whole() -> bool:
                return not await degraded()

            async def halved() -> bool:
                return await degraded() == ["user_state hydrator", "mirror"]

            assert await halved()
            post = await client.get("/api/v1/posts/1")
            assert (post.status_code, post.json()["error"]["code"]) == (503, "unavailable")
            assert (await client.get("/health/ready")).status_code == 503
            assert (await client.get("/metrics")).status_code == 200
            child = embedded_valkey.child(tmp_path, port)
            with killed_at_the_end(child):
                await until_ready(child, 20)
                await until(whole)
            await until(halved)
