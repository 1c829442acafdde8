"""Runs the API: one uvicorn process, of one or several on a port."""

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from schemas.settings import Settings

from .memory import set_large_apart

SHUTDOWN_SECONDS = 2
NOT_STARTED = 3
"""Exit status, as of uvicorn."""


def run(settings: Settings, host: str, port: int, fd: int | None = None) -> None:
    """Serves until SIGINT or SIGTERM; requests under way get SHUTDOWN_SECONDS to end.

    fd: of a socket that listens already, which other processes may share.
    """
    # Before numpy loads: OpenBLAS's threads spin for each other. On 2 busy cores a feed with a product of
    # 10,000 × 64 took 18 ms with them and 1.5 ms without.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    set_large_apart()
    from .app import create_app

    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = _Server(config, app.state.serving.trending_stream.end)
    with suppress(KeyboardInterrupt):
        server.run([socket.socket(fileno=fd)] if fd is not None else None)
    if not server.started:
        sys.exit(NOT_STARTED)


class _Server(uvicorn.Server):
    """Ends what would go on for ever before it waits for requests under way."""

    def __init__(self, config: uvicorn.Config, end: Callable[[], None]) -> None:
        super().__init__(config)
        self._end = end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end()
        await super().shutdown(sockets)
