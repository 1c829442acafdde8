"""The faults: what each does to whom, for how long, and in which order a seed draws them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from redis.asyncio import Redis

from .system import Process, System

OVERLAPPING = 0.2
"""The share of faults that the next one does not wait for."""


class Step(NamedTuple):
    """A fault as drawn. target: process; seconds: how long it is dead, frozen or there; pause: after it, in seconds."""

    name: str
    target: str
    seconds: float
    pause: float
    overlaps: bool


Apply = Callable[[System, str, float], Awaitable[None]]


class Fault(NamedTuple):
    """targets: one of them is drawn; seconds: between these."""

    apply: Apply
    targets: tuple[str, ...]
    seconds: tuple[float, float]


async def killed(system: System, target: str, seconds: float) -> None:
    """SIGKILL, and started again on what it left."""
    process = system.processes[target]
    process.kill()
    await asyncio.sleep(seconds)
    process.start()
    await process.ready()


async def frozen(system: System, target: str, seconds: float) -> None:
    """SIGSTOP, and SIGCONT later."""
    process = system.processes[target]
    process.freeze()
    await asyncio.sleep(seconds)
    process.thaw()


async def joins_and_leaves(system: System, target: str, seconds: float) -> None:
    """One more worker, which leaves by SIGTERM."""
    process = _joined(system, target)
    async with process.lock:
        await asyncio.sleep(seconds)
        await process.stop()
        del system.processes[target]


async def joins_and_is_killed(system: System, target: str, seconds: float) -> None:
    """One more worker, which is killed and does not come back."""
    process = _joined(system, target)
    async with process.lock:
        await asyncio.sleep(seconds)
        process.kill()
        del system.processes[target]


def _joined(system: System, name: str) -> Process:
    role, slot = name.split("-")
    return system.add_worker(role, int(slot))


async def replaced_while_frozen(system: System, target: str, seconds: float) -> None:
    """A zombie: frozen until another worker has its partitions, awake while that one works, then the other leaves."""
    name = target.replace("-0", "-3")
    process, other = system.processes[target], _joined(system, name)
    async with other.lock:
        await asyncio.sleep(4)
        process.freeze()
        await asyncio.sleep(seconds)
        process.thaw()
        await asyncio.sleep(4)
        await other.stop()
        del system.processes[name]


async def emptied(system: System, _: str, __: float) -> None:
    """FLUSHALL while everything runs."""
    async with Redis.from_url(system.redis_url) as redis:
        await redis.flushall()


LEARN, MODELS, RECORD = ("learn-0",), ("models-0",), ("record-0",)
FAULTS: dict[str, Fault] = {
    "learn worker killed": Fault(killed, LEARN, (0.0, 2.0)),
    "record worker killed": Fault(killed, RECORD, (0.0, 2.0)),
    "learn worker frozen": Fault(frozen, LEARN, (0.5, 4.0)),
    "record worker frozen": Fault(frozen, RECORD, (0.5, 4.0)),
    "learn worker frozen past its session": Fault(frozen, LEARN, (8.0, 12.0)),
    "record worker frozen past its session": Fault(frozen, RECORD, (8.0, 12.0)),
    "learn worker replaced while frozen": Fault(replaced_while_frozen, LEARN, (10.0, 14.0)),
    "record worker replaced while frozen": Fault(replaced_while_frozen, RECORD, (10.0, 14.0)),
    "models worker killed": Fault(killed, MODELS, (0.0, 2.0)),
    "models worker frozen past its session": Fault(frozen, MODELS, (8.0, 12.0)),
    "worker joins and leaves": Fault(joins_and_leaves, ("learn-1", "learn-2", "record-1", "record-2"), (5.0, 12.0)),
    "worker joins and is killed": Fault(
        joins_and_is_killed, ("learn-1", "learn-2", "record-1", "record-2"), (5.0, 12.0)
    ),
    "broker killed": Fault(killed, ("kafka",), (0.0, 4.0)),
    "broker frozen past the sessions": Fault(frozen, ("kafka",), (8.0, 12.0)),
    "redis killed": Fault(killed, ("valkey",), (0.0, 4.0)),
    "redis frozen": Fault(frozen, ("valkey",), (1.0, 8.0)),
    "postgres killed": Fault(killed, ("postgres",), (0.0, 4.0)),
    "postgres frozen": Fault(frozen, ("postgres",), (1.0, 8.0)),
    "api killed": Fault(killed, ("api",), (0.0, 2.0)),
    "redis emptied": Fault(emptied, ("valkey",), (0.0, 0.0)),
}


def draw(seed: int, count: int) -> Iterator[Step]:
    """The same faults, targets, durations and pauses for a seed, whatever happens. Every kind comes once in a round."""
    rng = random.Random(f"faults {seed}")
    round_: list[str] = []
    for _ in range(count):
        if not round_:
            round_ = sorted(FAULTS)
            rng.shuffle(round_)
        name = round_.pop()
        fault = FAULTS[name]
        yield Step(
            name, rng.choice(fault.targets), round(rng.uniform(*fault.seconds), 1), round(rng.uniform(0.5, 4.0), 1),
            rng.random() < OVERLAPPING,
        )  # fmt: skip


async def apply(system: System, step: Step) -> None:
    """One fault after the other on the same process; on different ones they may overlap."""
    fault = FAULTS[step.name]
    process = system.processes.get(step.target)
    if process is None or fault.apply in (joins_and_leaves, joins_and_is_killed):
        await fault.apply(system, step.target, step.seconds)
        return
    async with process.lock:
        await fault.apply(system, step.target, step.seconds)
