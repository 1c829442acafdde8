"""`reelstream api`: the HTTP server."""

from typing import Annotated

import typer


def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    processes: Annotated[int, typer.Option(min=1, help="How many share the port, one a core at most.")] = 1,
    fd: Annotated[int | None, typer.Option(hidden=True, help="The open socket of one of several processes.")] = None,
) -> None:
    """Serves feeds and takes events over HTTP."""
    if processes > 1:
        import asyncio

        from ..api_processes import run_processes

        asyncio.run(run_processes(host, port, processes, lambda line: typer.echo(line, err=True)))
        return
    from .. import blas

    blas.one_thread()
    from api.server import run
    from schemas.settings import Settings

    from ..kafka_clients import mend

    mend()
    run(Settings.load(), host, port, fd)
