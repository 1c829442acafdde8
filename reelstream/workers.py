"""`reelstream worker --role all`: a worker of each role, looked after."""

import time
from collections.abc import Callable
from dataclasses import replace

from schemas.heartbeat import ROLES
from schemas.settings import Settings

from . import parts
from .together import run_together


async def run_all(settings: Settings, slot: int, say: Callable[[str], None]) -> None:
    """Runs until SIGINT or SIGTERM. Raises ReelstreamError when a worker keeps dying."""
    redis_url = settings.require("REDIS_URL")
    # Nobody waits for them here, and with more workers than partitions one owns none for good reason.
    workers = [replace(parts.worker(role, slot, {}, redis_url, time.time()), ready=None) for role in ROLES]
    await run_together(workers, say)
