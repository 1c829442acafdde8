"""Runs one worker process until it is told to stop."""

import faust
import uvloop

from schemas.settings import Settings

from .app import create_app


def run(settings: Settings, role: str, slot: int) -> None:
    """Blocks. SIGTERM and Ctrl-C finish what is in flight, commit and return; a crash exits non-zero."""
    uvloop.install()
    app = create_app(settings, role, slot)
    faust.Worker(app, loglevel="WARN", quiet=True).execute_from_commandline()
