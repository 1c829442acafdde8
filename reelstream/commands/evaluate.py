"""`reelstream evaluate`: how good the models are, on data that they have not seen yet."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from schemas.errors import ReelstreamError

from .. import blas, datasets


class Protocol(StrEnum):
    """Of `evaluate batch`; see batch_models/protocols.py."""

    time = "time"
    ncf = "ncf"


app = typer.Typer(help="How good the models are, on data that they have not seen yet.", no_args_is_help=True)


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


@app.command()
def batch(
    name_or_dir: Annotated[str, typer.Argument(metavar="NAME_OR_DIR", help="a known data set, or a folder")],
    protocol: Annotated[
        Protocol,
        typer.Option(help="time: the newest tenth, all posts ranked; ncf: each user's last post among 99 others"),
    ] = Protocol.time,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="a model or a yardstick; all unless told")
    ] = None,
    positive: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE[:MIN]", help="a hit under `time`, as in `evaluate online`; under `ncf` every event"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first N events")] = None,
    seed: Annotated[int, typer.Option(help="of all random draws")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object last")] = False,
    data: Annotated[Path, typer.Option(help="state directory; data sets are kept there")] = Path(".reelstream"),
) -> None:
    """Each batch model and yardstick, trained on what came before and asked for what its users turned to after it."""
    blas.one_thread()
    from online_models.positives import DEFAULT, Positives

    from ..addresses import load_settings

    try:
        from batch_models import contenders, protocols

        from ..batch_evaluation import read
    except ImportError as error:
        raise ReelstreamError(f"Batch models need more packages ({error}): pip install 'reelstream[batch]'") from None

    if positive and protocol is Protocol.ncf:
        raise ReelstreamError("--positive goes with --protocol time: under ncf every event is positive")
    rules = protocols.EVERYTHING if protocol is Protocol.ncf else Positives(positive or DEFAULT)
    makers, settings, console = contenders.chosen(model or []), load_settings(data), Console(stderr=True)
    whole = read(datasets.find(name_or_dir, data, console.print), limit)
    by_time = protocol is Protocol.time
    questions = protocols.by_time(whole, rules) if by_time else protocols.leave_last_out(whole, seed)
    if not len(questions.users):
        raise ReelstreamError(f"Nobody can be asked: of {len(whole):,} events, none tests a user with a history.")
    report: dict[str, dict[str, Any]] = {}
    with Progress(console=console) as progress:
        for name, make in makers.items():
            show = partial(_advance, progress, progress.add_task(name, total=len(questions.users)))
            contender = make(settings, rules)
            try:
                report[name] = contenders.trial(contender, questions, settings.interaction_weights, seed, show)
            except contenders.NotInstalled as reason:
                progress.console.print(str(reason), markup=False)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _show_batch(report)


def _advance(progress: Progress, task: TaskID, done: int) -> None:
    progress.update(task, completed=done)


def _show_batch(report: dict[str, Any]) -> None:
    table = Table(title=f"{report['popularity']['users']:,} users; in brackets the 95 % bootstrap interval of the mean")
    table.add_column("model")
    for column in ("recall@10", "ndcg@10", "hr@10", "training", "scoring"):
        table.add_column(column, justify="right")
    for name, figures in sorted(report.items(), key=lambda row: -row[1]["ndcg@10"]):
        cells = []
        for column in ("recall@10", "ndcg@10", "hr@10"):
            low, high = figures[f"{column}_interval"]
            cells.append(f"{figures[column]:.4f} [{low:.3f} {high:.3f}]".replace("[", "\\["))
        table.add_row(name, *cells, f"{figures['train_seconds']:.1f} s", f"{figures['score_seconds']:.1f} s")
    Console().print(table)


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
    columns = ("recall@10", "ndcg@10", "mrr@10", "recall@20", "ndcg@20", "coverage")
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
