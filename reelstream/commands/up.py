"""`reelstream up`: everything on this machine, in the foreground."""

from pathlib import Path
from typing import Annotated

import typer


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the API; 0 takes a free one.")] = 8000,
    data: Annotated[Path, typer.Option(help="Where state and logs are kept.")] = Path(".reelstream"),
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME_OR_DIR", help="A data set to load and to stream on (ml-100k).")
    ] = None,
    no_train: Annotated[bool, typer.Option("--no-train", help="Train no batch models.")] = False,
) -> None:
    """Runs everything on this machine: broker, Valkey, PostgreSQL, workers, API, trainer.

    A service whose address is set (KAFKA_BOOTSTRAP_SERVERS, REDIS_URL, DATABASE_URL) is used as it is.
    Ctrl-C stops everything; the state stays in --data.
    """
    import asyncio

    from schemas.settings import Settings

    from ..up import Options, run

    options = Options(port=port, data=data, data_set=dataset, train=not no_train)
    asyncio.run(run(options, Settings.load(), typer.echo))
