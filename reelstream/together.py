"""Several children of one kind, looked after until they are told to stop."""

import asyncio
import signal
from collections.abc import Callable, Sequence

from .child import Child
from .supervisor import Supervisor

GRACE_SECONDS = 8.0


async def run_together(children: Sequence[Child], say: Callable[[str], None]) -> None:
    """Runs until SIGINT or SIGTERM. Raises ReelstreamError when one keeps dying."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    supervisor = Supervisor(None, say)
    stop: asyncio.Future[bool] = asyncio.create_task(stopping.wait())
    try:
        for child in children:
            await supervisor.start(child)
        waiting: set[asyncio.Future[bool] | asyncio.Future[None]] = {stop, supervisor.failure}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if supervisor.failure.done():
            supervisor.failure.result()
    finally:
        stop.cancel()
        await supervisor.stop(*(child.name for child in children), grace=GRACE_SECONDS)
