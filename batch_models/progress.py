"""How far a training is: a bar with the loss and the time left where somebody looks, log lines where nobody does."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = structlog.get_logger()

EVERY_SECONDS = 15.0
"""Between two log lines."""
MEMORY = 0.98
"""Of the loss that is told: the mean of some fifty steps."""

Told = Callable[[int, float], None]
"""Is given the number of steps done and the loss of the last one."""


@contextmanager
def progress(what: str, steps: int, done: int = 0) -> Iterator[Told]:
    """Of `steps` in all, of which `done` were done before."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(), console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty(),
    )  # fmt: skip
    task = bar.add_task(what, total=steps, completed=done, loss=0.0)
    began = told_at = time.monotonic()
    mean: float | None = None

    def told(step: int, loss: float) -> None:
        nonlocal told_at, mean
        mean = loss if mean is None else MEMORY * mean + (1.0 - MEMORY) * loss
        bar.update(task, completed=step, loss=mean)
        now = time.monotonic()
        if now - told_at > EVERY_SECONDS or step == steps:
            told_at = now
            left = (now - began) / max(step - done, 1) * (steps - step)
            log.info("training", model=what, step=step, of=steps, loss=round(mean, 4), seconds_left=round(left))

    with bar:
        yield told
