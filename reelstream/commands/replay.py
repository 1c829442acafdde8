"""`reelstream replay`: a data set into Kafka, with a progress bar."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from .. import datasets
from ..addresses import load_settings
from ..replay import Progress as Show
from ..replay import Selection, Summary
from ..replay import replay as publish

FAULTS_SHOWN = 20
SECONDS_A_LINE = 5.0


def replay(
    name_or_dir: Annotated[str, typer.Argument(metavar="NAME_OR_DIR", help="a known data set (ml-100k), or a folder")],
    rate: Annotated[float | None, typer.Option(min=0.001, help="events a second; the tail has 4 unless told")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="only the first N events")] = None,
    hold_back: Annotated[int, typer.Option(min=0, help="all but the last N events")] = 0,
    tail: Annotated[
        int | None, typer.Option(min=1, help="only the last N events, each as if it happened when it is sent")
    ] = None,
    data: Annotated[Path, typer.Option(help="state directory of `reelstream up`; data sets are kept there")] = Path(
        ".reelstream"
    ),
) -> None:
    """Sends a data set through Kafka. Times move so that it ends now; events sent before count once."""
    selection = Selection(limit, hold_back, tail)
    settings = load_settings(data)
    folder = datasets.find(name_or_dir, data, typer.echo)

    async def main(show: Show) -> Summary:
        # `up` stops its children with SIGTERM: what is on its way still arrives.
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await publish(folder, settings, selection, rate=rate, progress=show)

    console = Console()
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            summary = asyncio.run(main(Bars(progress).update))
    else:
        summary = asyncio.run(main(Lines().update))
    _report(summary)


def _report(summary: Summary) -> None:
    for fault in summary.faults[:FAULTS_SHOWN]:
        typer.echo(f"skipped {fault}", err=True)
    if len(summary.faults) > FAULTS_SHOWN:
        typer.echo(f"skipped {len(summary.faults) - FAULTS_SHOWN} more rows that break the contract", err=True)
    stopped = "stopped: " if summary.stopped else ""
    typer.echo(
        f"{stopped}{summary.events} events, {summary.posts} posts, {summary.users} users in {summary.seconds:.1f} s"
    )
    if summary.stopped:
        raise typer.Exit(130)
    if summary.faults:
        raise typer.Exit(1)


class Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


class Bars:
    """One bar for each kind of row, with its rate."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._kinds: dict[str, TaskID] = {}

    def update(self, kind: str, done: int, total: int) -> None:
        if kind not in self._kinds:
            self._kinds[kind] = self._progress.add_task(kind, total=total)
        self._progress.update(self._kinds[kind], completed=done)


class Lines:
    """Where no terminal shows a bar: a line every few seconds."""

    def __init__(self) -> None:
        self._next = time.monotonic() + SECONDS_A_LINE
        self._since, self._from = time.monotonic(), 0
        self._kind = ""

    def update(self, kind: str, done: int, total: int) -> None:
        now = time.monotonic()
        if kind != self._kind:
            self._kind, self._since, self._from = kind, now, done
        if now >= self._next:
            rate = (done - self._from) / max(now - self._since, 1e-9)
            typer.echo(f"{kind} {done} of {total}, {rate:,.0f}/s")
            self._next = now + SECONDS_A_LINE
