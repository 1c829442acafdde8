"""`reelstream status`: every part, up or not."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from schemas.generation import Generation


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Shows every part: up or not, whether the state is whole, lag and freshness of the workers, versions of the
    models, number of posts, memory.

    Memory: keys and bytes of each kind of state in Redis. Kinds with few keys are asked for by name; of the others at
    most 100,000 keys are looked at and 1,000 of a kind weighed, so of a bigger Redis it tells "about".
    """
    import asyncio

    import msgspec
    from rich import filesize

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
    typer.echo(f"state      {_state(found.state)}")
    for worker in found.workers:
        freshness = ", ".join(f"p{float(q) * 100:g} {s * 1000:.0f} ms" for q, s in worker.freshness.items())
        typer.echo(f"worker     {worker.id} pid {worker.pid}, lag {worker.lag}, applied after {freshness or '-'}")
    if not found.workers:
        typer.echo("worker     none")
    for model, version in found.models.items():
        typer.echo(f"model      {model} {version}")
    typer.echo(f"posts      {'-' if found.posts is None else found.posts}")
    if memory := found.memory:
        typer.echo(f"memory     {filesize.decimal(memory.used)} used by Redis, {memory.keys:,} keys, of these:")
        for kind, weight in memory.kinds.items():
            about = "" if memory.exact else "about "
            typer.echo(f"           {kind:<17}{about}{weight.keys:,} keys, {filesize.decimal(weight.bytes)}")


def _state(state: "Generation | None") -> str:
    if state is None:
        return "none: the first worker that runs builds it from the record"
    if not state.ready:
        return f"being rebuilt, {state.done:,} of {state.total:,} recorded events; reason: {state.reason}"
    at = datetime.fromtimestamp(state.ended_at).astimezone()
    return f"whole; built {at:%Y-%m-%d %H:%M:%S} from {state.done:,} recorded events; reason: {state.reason}"
