"""Collects kind after kind, once or again and again, and shows how far it is."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from collector.kinds import Kind
from collector.run import AlreadyRunning, Run
from schemas import audit
from schemas.errors import ServiceUnavailable
from schemas.messages import KindStatus
from schemas.settings import Settings


async def collect_all(kinds: Sequence[Kind], settings: Settings, page_size: int, pause: float | None) -> bool:
    """Whether every kind succeeded; with a `pause` in seconds it goes on until SIGINT or SIGTERM.

    Raises ReelstreamError when a kind can't begin; with a pause that is only shown, as it may begin the next time.
    """
    console = Console(highlight=False, soft_wrap=True)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    work = asyncio.create_task(_rounds(kinds, settings, page_size, pause, console))
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if work.done():
        return work.result()
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    console.print("stopped; the next run goes on at the same page")
    return pause is not None


async def _rounds(
    kinds: Sequence[Kind], settings: Settings, page_size: int, pause: float | None, console: Console
) -> bool:
    while True:
        succeeded = True
        for kind in kinds:
            try:
                status = await _collect(kind, settings, page_size, console)
            except (AlreadyRunning, ServiceUnavailable) as error:
                if pause is None:
                    raise
                console.print(f"{kind.name}: {error}")
                continue
            console.print(f"{kind.name}: {_told(status)}")
            succeeded = succeeded and status.state == "succeeded"
        if pause is None:
            return succeeded
        await asyncio.sleep(pause)


async def _collect(kind: Kind, settings: Settings, page_size: int, console: Console) -> KindStatus:
    """The bar is full at as many rows as the last scan met; upstream doesn't say how many it has."""
    async with Run.begun(kind, settings, None, page_size, audit.operator()) as run:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
            TextColumn("page {task.fields[page]}, {task.completed:,.0f} rows"), TimeElapsedColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        ) as progress:  # fmt: skip
            bar = progress.add_task(kind.name, total=run.expected_rows, page=run.scan.page)

            def tell(status: KindStatus) -> None:
                progress.update(bar, completed=status.rows, page=status.page)

            return await run.finish(tell)


def _told(status: KindStatus) -> str:
    counts = f"{status.rows} rows, {status.published} published, {status.unchanged} unchanged"
    if status.taken_back:
        counts += f", {status.taken_back} taken back"
    for reason, count in status.skipped.items():
        counts += f", {count} skipped because {reason}"
    if status.note:
        counts += f". {status.note}"
    return (
        counts if status.state == "succeeded" else f"failed at page {status.page + 1}: {status.last_error} ({counts})"
    )
