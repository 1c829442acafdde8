"""`reelstream dead-letters`: messages that were refused."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Messages that could not be read or break the contract.", no_args_is_help=True)


@app.callback()
def dead_letters() -> None:
    """Makes `list` a subcommand: Typer runs a lone command without its name."""


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="How many, counted from the newest.")] = 20,
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Lists the newest dead letters, the newest last: when, where from, why, and what it said."""
    import asyncio

    asyncio.run(_list(limit, data))


async def _list(limit: int, data: Path) -> None:
    from datetime import datetime

    from schemas import topics
    from schemas.dead_letters import decode

    from ..addresses import load_settings
    from ..topic_reader import newest

    settings = load_settings(data)
    found = [
        record
        async for records in newest(settings, topics.DEAD_LETTERS, range(settings.kafka_partitions), limit)
        for record in records
    ]
    found.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
    for record in found[-limit:]:
        letter = decode(record.value)
        at = datetime.fromtimestamp(record.timestamp / 1000).astimezone()
        place = f"{letter.topic}-{letter.partition} offset {letter.offset} entry {letter.index}"
        typer.echo(f"{at:%Y-%m-%d %H:%M:%S}  {place}  {letter.reason}\n    {letter.payload[:500]}")
    if not found:
        typer.echo("no dead letters")
