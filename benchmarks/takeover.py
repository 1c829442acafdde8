"""How long events wait when a worker goes: from the signal until an event that was sent after the worker was gone is
applied in all of its partitions. Two learn workers share four partitions of an Apache Kafka; several trials a case.

    python benchmarks/takeover.py [TRIALS]

killed: SIGKILL, the other takes over (goal 15 s). told to stop: SIGTERM, the other takes over (goal 4 s).
killed or stopped, started again: the same slot at once, as a supervisor or a deployment does it (goal 4 s).
"""

import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis
from system import apache_kafka, last_line, running

from reelstream import parts
from reelstream.child import free_port
from reelstream.embedded import valkey
from reelstream.topics import create_topics
from schemas import keys, marks, topics
from schemas.heartbeat import Heartbeat
from schemas.marks import InteractionsMark
from schemas.settings import Settings

PARTITIONS = 4
EVENTS_A_SECOND = 50
VICTIM, SURVIVOR = 0, 1


class Group:
    """The two workers, and the events they are fed with."""

    def __init__(self, environment: dict[str, str], producer: AIOKafkaProducer, redis: Redis) -> None:
        self._environment, self._producer, self._redis = environment, producer, redis
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._sent = [0] * PARTITIONS

    def start(self, slot: int) -> None:
        child = parts.worker("learn", slot, self._environment, self._environment["REDIS_URL"], time.time())
        self._workers[slot] = subprocess.Popen(child.command, stderr=subprocess.DEVNULL, **child.popen_arguments())

    def signal(self, slot: int, number: signal.Signals) -> None:
        self._workers[slot].send_signal(number)

    async def gone(self, slot: int) -> None:
        while self._workers[slot].poll() is None:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for slot in self._workers:
            self.signal(slot, signal.SIGTERM)
        for slot in self._workers:
            await self.gone(slot)

    async def feed(self) -> None:
        """Events to all partitions in turn, until cancelled."""
        number = 0
        while True:
            partition = number % PARTITIONS
            user = next(name for n in range(1000) if topics.owner(name := f"{number}-{n}", PARTITIONS) == partition)
            event = {"username": user, "post_id": 1 + number % 50, "interaction_type": "like"}
            sent = await self._producer.send_and_wait(
                topics.INTERACTIONS, json.dumps(event).encode(), partition=partition
            )
            self._sent[partition] = sent.offset
            number += 1
            await asyncio.sleep(1 / EVENTS_A_SECOND)

    async def shared(self) -> list[int]:
        """Waits until each owns half of `interactions` and lags nowhere; the partitions of the one that will go."""
        while True:
            beats = {beat.id: beat for beat, _ in await parts.heartbeats(self._environment["REDIS_URL"])}
            mine, others = _owned(beats.get(f"learn-{VICTIM}")), _owned(beats.get(f"learn-{SURVIVOR}"))
            halves = len(mine) == len(others) == PARTITIONS // 2 and {*mine, *others} == set(range(PARTITIONS))
            if halves and not any(sum(beat.lag.values()) for beat in beats.values()):
                return mine
            await asyncio.sleep(0.1)

    async def progressed(self, partitions: list[int]) -> None:
        """Waits until an event that is sent from now on is applied in each of the partitions."""
        ends = list(self._sent)
        for partition in partitions:
            while await self._applied(partition) <= ends[partition]:
                await asyncio.sleep(0.01)

    async def _applied(self, partition: int) -> int:
        return marks.decode(await self._redis.get(keys.interactions_mark(partition)), InteractionsMark).offset


def _owned(beat: Heartbeat | None) -> list[int]:
    names = [name.rsplit("-", 1) for name in beat.partitions] if beat else []
    return [int(partition) for topic, partition in names if topic == topics.INTERACTIONS]


async def taken_over(group: Group, number: signal.Signals, *, again: bool) -> float:
    """One trial; leaves both workers running and sharing."""
    partitions = await group.shared()
    await asyncio.sleep(3)  # past the last rebalance, and past heartbeats that tell of the one before
    began = time.perf_counter()
    group.signal(VICTIM, number)
    await group.gone(VICTIM)
    if again:
        group.start(VICTIM)
    await group.progressed(partitions)
    seconds = time.perf_counter() - began
    if not again:
        group.start(VICTIM)
    await asyncio.sleep(7)  # what the killed one said last has expired
    return seconds


CASES: dict[str, Callable[[Group], object]] = {
    "killed": lambda group: taken_over(group, signal.SIGKILL, again=False),
    "told to stop": lambda group: taken_over(group, signal.SIGTERM, again=False),
    "killed, started again": lambda group: taken_over(group, signal.SIGKILL, again=True),
    "stopped, started again": lambda group: taken_over(group, signal.SIGTERM, again=True),
}


async def measure(environment: dict[str, str], trials: int) -> dict[str, dict[str, object]]:
    settings = Settings(kafka_bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"], kafka_partitions=PARTITIONS)
    await create_topics(settings)
    producer = AIOKafkaProducer(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    await producer.start()
    figures: dict[str, dict[str, object]] = {}
    async with Redis.from_url(environment["REDIS_URL"]) as redis:
        group = Group(environment, producer, redis)
        feeding = asyncio.create_task(group.feed())
        try:
            for slot in (VICTIM, SURVIVOR):
                group.start(slot)
            for name, case in CASES.items():
                seconds = [await case(group) for _ in range(trials)]
                figures[name] = {
                    "median_s": round(statistics.median(seconds), 2), "s": [round(each, 2) for each in seconds]
                }  # fmt: skip
                print(name, figures[name], flush=True)
        finally:
            feeding.cancel()
            await group.stop()
            await producer.stop()
    return figures


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        state, port = Path(folder), free_port()
        with apache_kafka(state) as brokers, running(valkey.child(state, port), state / "valkey.log"):
            if brokers is None:
                raise SystemExit("no Apache Kafka: set KAFKA_BOOTSTRAP_SERVERS to the address of one")
            environment = {"KAFKA_BOOTSTRAP_SERVERS": brokers, "REDIS_URL": valkey.address(port)}
            last_line(asyncio.run(measure(environment, trials)))


if __name__ == "__main__":
    main()
