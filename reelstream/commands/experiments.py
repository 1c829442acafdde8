"""`reelstream experiments`: which there are, and what one of them shows."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..experiments.report import Measured, OfVariant, Report

app = typer.Typer(help="Experiments with feeds: list them, report what one shows.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Data = Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")]
Moment = Annotated[datetime | None, typer.Option(metavar="TIME", help="ISO 8601, UTC.")]
STATE = Path(".reelstream")


@app.command("list")
def list_(as_json: AsJson = False, data: Data = STATE) -> None:
    """Lists the experiments of EXPERIMENTS_PATH: whether each runs, its days, share and variants."""
    import time

    import msgspec

    from api.experiments import load_experiments

    from ..addresses import load_settings

    experiments = load_experiments(load_settings(data).experiments_path)
    for each in experiments:
        runs = each.holds(time.time())
        if as_json:
            typer.echo(msgspec.json.encode({"runs": runs, **msgspec.to_builtins(each)}))
            continue
        days = f"{each.since or '…'} to {each.until or '…'}"
        typer.echo(f"{each.name}  {'runs' if runs else 'rests'}  {days}  {each.share:.0%} of the readers")
        for variant in each.variants:
            typer.echo(f"  {variant.name:<20} weight {variant.weight:g}  {', '.join(sorted(variant.changed)) or '-'}")
    if not experiments and not as_json:
        typer.echo("no experiments; EXPERIMENTS_PATH names the file that has them (docs/experiments.md)")


@app.command()
def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `list` prints it.")],
    since: Moment = None,
    until: Moment = None,
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="Chance that an interval is ever wrong.")] = 0.05,
    as_json: AsJson = False,
    data: Data = STATE,
) -> None:
    """Reports each variant, with intervals that hold however often one looks. Pages of the last 30 days are known."""
    import asyncio

    import msgspec

    from api.experiments import load_experiments
    from schemas.errors import ReelstreamError

    from ..addresses import load_settings
    from ..experiments import record
    from ..experiments.report import report as made_of

    settings = load_settings(data)
    experiments = {each.name: each for each in load_experiments(settings.experiments_path)}
    if (experiment := experiments.get(name)) is None:
        raise ReelstreamError(
            f"There is no experiment {name!r}; EXPERIMENTS_PATH has {', '.join(experiments) or 'none'}."
        )
    names = [variant.name for variant in experiment.variants]
    recorded = asyncio.run(record.read(settings.require("DATABASE_URL"), name, names, _utc(since), _utc(until)))
    found = made_of(name, names, [variant.weight for variant in experiment.variants], recorded, alpha)
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        _show(found)


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(found: "Report") -> None:
    from rich.console import Console
    from rich.table import Table

    console, table = Console(), Table(box=None, pad_edge=False)
    for title in ("variant", "metric", "value", "always within", "against control", "always within", "p"):
        table.add_column(title)
    for each in found.variants:
        for row in _rows(each):
            table.add_row(*row)
    console.print(table)
    for each in found.variants:
        place = each.exploration
        typer.echo(
            f"{each.variant}: {each.users:,} users, {each.pages:,} pages, {each.impressions:,} impressions; "
            f"exploration {_number(place.drawn)} as drawn, {_number(place.uniform)} if drawn uniformly "
            f"({place.shown:,} shown, worth {place.effective_sample_size:,.0f})"
        )
    typer.echo(
        f"users as planned: p {found.sample_ratio_p:.3g}"
        + ("" if found.balanced else " - NOT as planned: find out why before you believe any of this")
    )
    if found.in_several:
        typer.echo(f"left out: {found.in_several:,} users with more than one variant")


def _rows(each: "OfVariant") -> list[tuple[str, ...]]:
    return [
        (
            each.variant if number == 0 else "", name, _number(measured.value), _interval(measured.interval),
            _number(measured.difference, "+"), _interval(measured.difference_interval), _p(measured),
        )
        for number, (name, measured) in enumerate(each.metrics.items())
    ]  # fmt: skip


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"


def _interval(found: tuple[float, float] | None) -> str:
    return "-" if found is None else f"{found[0]:.4f} to {found[1]:.4f}"


def _p(measured: "Measured") -> str:
    return "-" if measured.p is None else f"{measured.p:.3g}"
