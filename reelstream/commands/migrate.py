"""`reelstream migrate`: the tables of PostgreSQL."""

from pathlib import Path
from typing import Annotated

import typer


def migrate(
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Brings the database to the newest shape, makes the months to come, and drops those past keeping.

    Does nothing when all that is done already.
    """
    import asyncio

    from ..addresses import load_settings
    from ..migrating import migrate

    kept = asyncio.run(migrate(load_settings(data)))
    for what, names in (("made", kept.made), ("dropped", kept.dropped)):
        if names:
            typer.echo(f"{what} {', '.join(names)}")
    typer.echo("the database is up to date")
