"""Random faults, a zombie, and workers that come and go: afterwards everything equals the log."""

import asyncio
import os
from pathlib import Path

import pytest

from schemas import topics

from .marks import MarksWatch
from .run import run, under_load
from .settled import lagging
from .system import KAFKA, PARTITIONS, System
from .verdict import Outcome, judge

SEED = int(os.environ.get("FAULTS_SEED", "25"))
FAULTS = 6
FOLLOWING = 300
"""Messages behind at the most: under load there is always some lag."""

pytestmark = [
    pytest.mark.skipif(not KAFKA.is_file(), reason=f"no Apache Kafka at {KAFKA} to kill and freeze"),
    pytest.mark.timeout(600),
]


async def owned(system: System) -> dict[str, set[int]]:
    """Worker that learns → the partitions of `interactions` that it says it owns."""
    found: dict[str, set[int]] = {}
    for beat in await system.heartbeats():
        if beat.role == "learn":
            names = [name.rsplit("-", 1) for name in beat.partitions]
            found[beat.id] = {int(partition) for topic, partition in names if topic == topics.INTERACTIONS}
    return found


async def until_shared_by(system: System, *workers: str) -> dict[str, set[int]]:
    """Waits until these own all partitions in equal parts and nobody is far behind. Raises TimeoutError."""
    fair = dict.fromkeys(workers, PARTITIONS // len(workers))
    async with asyncio.timeout(120):
        while True:
            sharing = await owned(system)
            sizes = {name: len(partitions) for name, partitions in sharing.items()}
            if sizes == fair and not lagging(await system.heartbeats(), FOLLOWING):
                return sharing
            await asyncio.sleep(0.2)


async def test_after_random_faults_everything_equals_the_log(tmp_path: Path):
    outcome = await run(SEED, FAULTS, tmp_path, print)
    assert not outcome.differences, str(outcome)
    assert outcome.forwarded > 0


async def test_a_worker_that_was_frozen_while_another_took_over_writes_nothing_stale(tmp_path: Path):
    outcome = Outcome(SEED)
    async with under_load(SEED, tmp_path, print) as (system, publisher):
        system.add_worker("learn", 1)
        taken = (await until_shared_by(system, "learn-0", "learn-1"))["learn-0"]
        async with MarksWatch(system.redis_url) as watch:
            system.processes["learn-0"].freeze()
            await until_shared_by(system, "learn-1")
            before = {partition: watch.applied(partition) for partition in taken}
            await asyncio.sleep(2)
            assert all(watch.applied(partition) > before[partition] for partition in taken)
            system.processes["learn-0"].thaw()
            await until_shared_by(system, "learn-0", "learn-1")
            await judge(system, publisher, outcome)
        assert not watch.backwards
        assert system.processes["learn-0"].ended is None
    assert not outcome.differences, str(outcome)


async def test_one_two_and_four_workers_share_the_partitions_and_lose_nothing_on_the_way(tmp_path: Path):
    outcome = Outcome(SEED)
    async with under_load(SEED, tmp_path, print) as (system, publisher):
        names = ["learn-0"]
        for more in ((), (1,), (2, 3)):
            for slot in more:
                system.add_worker("learn", slot)
                names.append(f"learn-{slot}")
            sharing = await until_shared_by(system, *names)
            assert sorted(partition for part in sharing.values() for partition in part) == list(range(PARTITIONS))
        await judge(system, publisher, outcome)
    assert not outcome.differences, str(outcome)
