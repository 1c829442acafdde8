"""`reelstream topics`: the topics of Kafka."""

from pathlib import Path
from typing import Annotated

import typer


def topics(
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Creates the topics that are missing and gives the others their settings; KAFKA_PARTITIONS and KAFKA_REPLICATION
    say how many partitions and replicas."""
    import asyncio

    from ..addresses import load_settings
    from ..topics import create_topics

    created = asyncio.run(create_topics(load_settings(data)))
    typer.echo(f"created {', '.join(created)}" if created else "all topics exist")
