"""`reelstream status`: every part, up or not."""

from pathlib import Path
from typing import Annotated

import typer


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Shows every part: up or not, lag and freshness of the workers, versions of the models, number of posts."""
    import asyncio

    import msgspec

    from ..addresses import load_settings
    from ..state import read_running
    from ..system_status import look

    running = read_running(data)
    url = running.url if running else "http://127.0.0.1:8000"
    found = asyncio.run(look(load_settings(data), url))
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    typer.echo(f"up         pid {running.pid}, {running.url}" if running else f"up         not running on {data}")
    for name, state in found.parts.items():
        typer.echo(f"{name:<11}{state}")
    for worker in found.workers:
        freshness = ", ".join(f"p{float(q) * 100:g} {s * 1000:.0f} ms" for q, s in worker.freshness.items())
        typer.echo(f"worker     {worker.id} pid {worker.pid}, lag {worker.lag}, applied after {freshness or '-'}")
    if not found.workers:
        typer.echo("worker     none")
    for model, version in found.models.items():
        typer.echo(f"model      {model} {version}")
    typer.echo(f"posts      {'-' if found.posts is None else found.posts}")
