"""Faults under load from a seed, then the comparison with the log. `python -m tests.faults.run SEED FAULTS` prints it.

The last line is a JSON object: faults by kind, events sent, messages in the log, and the number of differences.
"""

import asyncio
import json
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from . import faults
from .load import Load
from .publisher import Publisher
from .system import KAFKA, Say, System
from .verdict import Outcome, judge


@asynccontextmanager
async def under_load(seed: int, folder: Path, say: Say) -> AsyncIterator[tuple[System, Publisher]]:
    """A system of its own in `folder`, looked after by a supervisor, while events flow; stopped at the end."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that a broker does not answer is no news here
    system = System(folder, say)
    publisher = Publisher(system.brokers, system.api_url, Load(seed, time.time() - 3_600))
    supervisor: asyncio.Task[None] | None = None
    try:
        await system.start_services()
        await publisher.start()
        await system.start_ours()
        supervisor = asyncio.create_task(system.supervise())
        publisher.begin()
        await asyncio.sleep(2)
        yield system, publisher
    finally:
        if supervisor is not None:
            supervisor.cancel()
        await publisher.close()
        await system.stop()


async def run(seed: int, count: int, folder: Path, say: Say) -> Outcome:
    """`count` faults under load, and the verdict. say: takes a line for each fault."""
    begun = time.monotonic()

    def tell(line: str) -> None:
        say(f"{time.monotonic() - begun:7.1f} {line}")

    steps = list(faults.draw(seed, count))
    outcome = Outcome(seed, dict(Counter(step.name for step in steps)))
    async with under_load(seed, folder, tell) as (system, publisher):
        started = time.monotonic()
        await _happen(system, steps, tell)
        over = time.monotonic()
        tell("the faults are over, all has to be applied now")
        await judge(system, publisher, outcome)
    outcome.seconds = {
        "faults": round(over - started, 1), "afterwards": round(time.monotonic() - over, 1),
        "altogether": round(time.monotonic() - begun, 1),
    }  # fmt: skip
    return outcome


async def _happen(system: System, steps: list[faults.Step], tell: Say) -> None:
    async with asyncio.TaskGroup() as happening:
        for number, step in enumerate(steps, 1):
            tell(f"fault {number}/{len(steps)}: {step.name}: {step.target}, {step.seconds} s")
            task = happening.create_task(faults.apply(system, step))
            if not step.overlaps:
                await task
            await asyncio.sleep(step.pause)


def main() -> int:
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    if not KAFKA.is_file():
        print(f"no Apache Kafka at {KAFKA}: the faults kill and freeze a broker of their own")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    outcome = asyncio.run(run(seed, count, folder, lambda line: print(line, flush=True)))
    if outcome.differences:
        print(outcome, f"the processes' logs are in {folder}", sep="\n")
    else:
        shutil.rmtree(folder)
    print(json.dumps({**asdict(outcome), "differences": len(outcome.differences)}))
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    sys.exit(main())
