"""`reelstream import`: files into Kafka."""

from pathlib import Path
from typing import Annotated

import typer

REJECTED_SHOWN = 20


def import_(
    path: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="JSONL, CSV or Parquet; the first two may be .gz.")],
    kind: Annotated[
        str | None, typer.Option(help="What a FILE has: interactions, posts or users; by its name unless told.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=COLUMN", help="Column of a CSV or Parquet file for a field.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Writes every rejected row there: FILE:LINE, a tab, the reason.")
    ] = None,
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Sends users, posts and interactions as they are, with their own times. Importing again changes nothing."""
    import asyncio

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from schemas.errors import ReelstreamError

    from ..addresses import load_settings
    from ..import_files import KINDS
    from ..importing import import_files

    if kind is not None and kind not in KINDS:
        raise ReelstreamError(f"--kind is {kind!r}; allowed: {', '.join(KINDS)}.")
    pairs = [text.partition("=") for text in column or []]
    if any(not field or not name for field, _, name in pairs):
        raise ReelstreamError("--column takes FIELD=COLUMN, as in --column username=user_name.")
    columns = {field: name for field, _, name in pairs}
    console = Console()
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        bar = progress.add_task("reading", total=None)

        def tell(kind: str, sent: int, rejected: int) -> None:
            if sent % 1000 == 0:
                progress.update(bar, description=f"{sent:,} {kind} sent, {rejected:,} rows rejected")

        made = asyncio.run(import_files(path, load_settings(data), kind, columns, tell))
    if report is not None:
        report.write_text("".join(f"{place}\t{reason}\n" for place, reason in made.rejected))
    for place, reason in made.rejected[:REJECTED_SHOWN]:
        typer.echo(f"rejected {place}: {reason}", err=True)
    if len(made.rejected) > REJECTED_SHOWN:
        typer.echo(f"rejected {len(made.rejected) - REJECTED_SHOWN} more; --report FILE lists all", err=True)
    sent = ", ".join(f"{count} {kind}" for kind, count in made.sent.items()) or "nothing"
    typer.echo(f"sent {sent}; rejected {len(made.rejected)}")
    if made.rejected:
        raise typer.Exit(1)
