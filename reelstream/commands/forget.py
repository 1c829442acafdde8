"""`reelstream forget`: everything that is known of a user goes."""

from pathlib import Path
from typing import Annotated

import typer


def forget(
    username: Annotated[str, typer.Argument(metavar="USER")],
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Deletes a user from PostgreSQL, Redis and the topic `users`. Events in Kafka go with its retention.

    Counts of posts stay: they name nobody. What is collected later of that user is left out.
    """
    import asyncio

    from ..addresses import load_settings
    from ..forgetting import forget

    asyncio.run(forget(load_settings(data), username))
    typer.echo(f"{username} is forgotten; the workers drop the state as soon as they have read it")
