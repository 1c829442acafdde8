"""`reelstream rebuild`: the state in Redis, built anew from the record."""

from pathlib import Path
from typing import Annotated

import typer


def rebuild(
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Builds the state in Redis anew: from PostgreSQL, and from where that ends the workers read on in Kafka.

    Feeds go on meanwhile, with what was known before. Workers do the same on their own when Redis has lost its state.
    """
    import asyncio

    from ..addresses import load_settings
    from ..rebuilding import run

    asyncio.run(run(load_settings(data)))
