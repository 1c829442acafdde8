"""`reelstream export`: interactions, impressions or the history of trending of the record into a file."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Moment = Annotated[datetime | None, typer.Option(metavar="TIME", help="ISO 8601, UTC.")]


class What(StrEnum):
    interactions = "interactions"
    impressions = "impressions"
    trending = "trending"


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".jsonl, .jsonl.gz or .parquet")],
    what: Annotated[What, typer.Option(help="What to write.")] = What.interactions,
    since: Moment = None,
    until: Moment = None,
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Writes rows in time order, from --since on and before --until; `reelstream import` reads interactions.

    Trending: of each category and hour the last ranking. Parquet has JSON columns as text.
    """
    import asyncio

    from rich.console import Console

    from ..addresses import load_settings
    from ..exporting import EXPORTED
    from ..exporting import export as write

    console = Console(stderr=True)
    with console.status("reading") as shown:
        written = asyncio.run(
            write(
                EXPORTED[what], file, load_settings(data).require("DATABASE_URL"), _utc(since), _utc(until),
                lambda rows: shown.update(f"{rows:,} rows"),
            )
        )  # fmt: skip
    typer.echo(f"{written} {'rankings' if what is What.trending else what.value} in {file}")


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
