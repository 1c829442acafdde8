"""`reelstream worker --role all`: a worker of each role, looked after."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from schemas.heartbeat import ROLES
from schemas.settings import Settings

from . import parts
from .supervisor import Supervisor


async def run_all(settings: Settings, slot: int, say: Callable[[str], None]) -> None:
    """Runs until SIGINT or SIGTERM. Raises ReelstreamError when a worker keeps dying."""
    redis_url, stopping = settings.require("REDIS_URL"), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    supervisor = Supervisor(None, say)
    stop: asyncio.Future[bool] = asyncio.create_task(stopping.wait())
    try:
        for role in ROLES:
            # Nobody waits for them here, and with more workers than partitions one owns none for good reason.
            await supervisor.start(replace(parts.worker(role, slot, {}, redis_url, time.time()), ready=None))
        waiting: set[asyncio.Future[bool] | asyncio.Future[None]] = {stop, supervisor.failure}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if supervisor.failure.done():
            supervisor.failure.result()
    finally:
        stop.cancel()
        await supervisor.stop(*(f"worker-{role}" for role in ROLES), grace=8)
