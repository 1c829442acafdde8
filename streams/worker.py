"""Runs one worker process until it is told to stop."""

import gc

import faust
import uvloop

from schemas.settings import Settings

from .app import create_app


def run(settings: Settings, role: str, slot: int) -> None:
    """Blocks. SIGTERM and Ctrl-C finish what is in flight, commit and return; a crash exits non-zero."""
    uvloop.install()
    # States and rows are a million small containers without cycles: the default thresholds walk through all of them
    # again and again, 142 µs an event instead of 107.
    gc.set_threshold(100_000, 50, 1_000)
    app = create_app(settings, role, slot)
    faust.Worker(app, loglevel="WARN", quiet=True).execute_from_commandline()
