"""`reelstream export`: interactions of the record into a file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

Moment = Annotated[datetime | None, typer.Option(metavar="TIME", help="ISO 8601, UTC.")]


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".jsonl, .jsonl.gz or .parquet")],
    since: Moment = None,
    until: Moment = None,
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Writes interactions in time order, from --since on and before --until; `reelstream import` reads them."""
    import asyncio

    from rich.console import Console

    from ..addresses import load_settings
    from ..exporting import export_interactions

    console = Console(stderr=True)
    with console.status("reading") as shown:
        written = asyncio.run(
            export_interactions(
                file, load_settings(data).require("DATABASE_URL"), _utc(since), _utc(until),
                lambda rows: shown.update(f"{rows:,} interactions"),
            )
        )  # fmt: skip
    typer.echo(f"{written} interactions in {file}")


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
