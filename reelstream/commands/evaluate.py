"""`reelstream evaluate`: how good the models are, on data that they have not seen yet."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from schemas.errors import ReelstreamError

from .. import blas, datasets

app = typer.Typer(help="How good the models are, on data that they have not seen yet.", no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Keeps `online` a subcommand."""


@app.command()
def online(
    name_or_dir: Annotated[str, typer.Argument(metavar="NAME_OR_DIR", help="a known data set, or a folder")],
    positive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE[:MIN]",
            help="a hit; like, inspire, share, bookmark, comment, follow, rating:80 and view:0.5 unless told",
        ),
    ] = None,
    score_from: Annotated[
        str | None, typer.Option(metavar="TIME", help="ISO 8601: earlier events are learned from, not scored")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first N events")] = None,
    seed: Annotated[int, typer.Option(help="of all random draws")] = 1,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="draw recall@10 over time")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object last")] = False,
    data: Annotated[Path, typer.Option(help="state directory; data sets are kept there")] = Path(".reelstream"),
) -> None:
    """The online models, test then learn: each positive on a post that the user had not met is ranked among all known
    posts the user had not met, before anything learns from it."""
    blas.one_thread()
    from online_models.positives import DEFAULT, Positives

    from ..evaluation import Evaluation
    from ..evaluation import plot as draw

    run = Evaluation(Positives(positive or DEFAULT), _seconds(score_from), seed)
    console = Console(stderr=True)
    folder = datasets.find(name_or_dir, data, console.print)
    with Progress(console=console) as progress:
        task = progress.add_task("events", total=limit)
        report = run.run(folder, limit, lambda done: progress.update(task, completed=done))
    if plot is not None:
        draw(run.prequential, str(plot))
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _show(report)


def _seconds(score_from: str | None) -> float:
    if score_from is None:
        return 0.0
    try:
        time = datetime.fromisoformat(score_from)
    except ValueError:
        raise ReelstreamError(
            f"--score-from {score_from!r} is no time like 2022-04-25 or 2022-04-25T08:00:00Z"
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(
        title=f"{report['scored']:,} positives of {report['events']:,} events, ranked before they were learnt"
    )
    columns = ("recall@10", "ndcg@10", "mrr@10", "recall@20", "ndcg@20")
    table.add_column("source")
    for column in columns:
        table.add_column(column, justify="right")
    rows = sorted(report["by_source"].items(), key=lambda row: -row[1]["recall@10"])
    for name, figures in [("blend", report), *rows]:
        table.add_row(
            name, *(f"{figures[column]:.4f}" for column in columns), style="bold" if name == "blend" else None
        )
    console.print(table)
    console.print(
        f"coverage {report['coverage']:.3f}, mean popularity rank {report['mean_popularity_rank']:.0f}; not scored: "
        f"{report['cold_user']:,} of users without a positive, {report['cold_item']:,} on posts nobody had met; "
        f"{report['events_per_second']:,.0f} events/s"
    )
