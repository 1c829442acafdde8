"""`reelstream migrate`: the tables of PostgreSQL."""

from pathlib import Path
from typing import Annotated

import typer


def migrate(
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Brings the database to the newest shape; does nothing when it is there already."""
    import asyncio

    from schemas.migrate import migrate

    from ..addresses import load_settings

    asyncio.run(migrate(load_settings(data).require("DATABASE_URL")))
    typer.echo("the database is up to date")
