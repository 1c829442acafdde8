"""`reelstream api`: the HTTP server."""

from typing import Annotated

import typer


def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serves feeds and takes events over HTTP."""
    from .. import blas

    blas.one_thread()
    from api.server import run
    from schemas.settings import Settings

    from ..kafka_clients import mend

    mend()
    run(Settings.load(), host, port)
