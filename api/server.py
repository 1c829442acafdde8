"""Runs the API: one uvicorn process."""

import os

import uvicorn

from schemas.settings import Settings

SHUTDOWN_SECONDS = 2


def run(settings: Settings, host: str, port: int) -> None:
    """Serves until SIGINT or SIGTERM; requests under way get SHUTDOWN_SECONDS to end."""
    # Before numpy loads: OpenBLAS's threads spin for each other. On 2 busy cores a feed with a product of
    # 10,000 × 64 took 18 ms with them and 1.5 ms without.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from .app import create_app

    uvicorn.run(
        create_app(settings),
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
