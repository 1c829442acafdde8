"""`reelstream models`: saved versions of the batch models; list them, look at one, go back to one."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Saved versions of the batch models: list them, show one, roll back.", no_args_is_help=True)

Data = Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]
STATE = Path(".reelstream")


@app.command("list")
def list_(as_json: AsJson = False, data: Data = STATE) -> None:
    """Lists every saved version, the newest last: its figures beside popularity's, its size, and which one serves."""
    import msgspec
    from rich import filesize

    from batch_models import registry
    from schemas.errors import ReelstreamError

    from ..addresses import load_settings

    path = load_settings(data).model_path
    for model in registry.models(path):
        serving = registry.serving(path, model)
        for version in registry.versions(path, model):
            try:
                card, fault = registry.card(path, model, version), ""
                registry.load(path, model, version)
            except ReelstreamError as error:
                card, fault = None, str(error)
            if as_json:
                row = {"model": model, "version": version, "serves": version == serving, "damaged": fault or None}
                typer.echo(msgspec.json.encode(row | {"card": card}))
                continue
            said = fault
            if card is not None and not fault:
                figures = card.version.metrics
                said = (
                    f"recall@10 {figures['recall@10']:.3f} (popularity {figures['popularity_recall@10']:.3f}), "
                    f"{card.events:,} events, {card.version.items:,} posts × {card.version.dim}, "
                    f"{filesize.decimal(card.size)}, {card.seconds:.0f} s"
                )
            typer.echo(f"{'serves' if version == serving else '':<7}{model:<15}{version}  {said}")
    if not registry.models(path) and not as_json:
        typer.echo(f"no versions under {path.resolve()}; `reelstream train` makes one")


Model = Annotated[str, typer.Argument(metavar="MODEL", help="As `list` prints it.")]
Version = Annotated[str | None, typer.Argument(metavar="VERSION", help="As `list` prints it; the one that serves.")]


@app.command()
def show(model: Model, version: Version = None, data: Data = STATE) -> None:
    """Shows the card of a version: what it learnt from, its settings, figures, size and duration."""
    import msgspec

    from batch_models import registry
    from schemas.errors import ReelstreamError

    from ..addresses import load_settings

    path = load_settings(data).model_path
    version = version or registry.serving(path, model)
    if version is None:
        raise ReelstreamError(
            f"No version of {model!r} serves. There is: {', '.join(registry.models(path)) or 'none'}."
        )
    typer.echo(msgspec.json.format(msgspec.json.encode(registry.card(path, model, version))))


@app.command()
def rollback(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Needed when there are several.")] = None,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="The one before that which serves, unless named.")
    ] = None,
    data: Data = STATE,
) -> None:
    """Makes a saved version serve again, at once and without a restart. The next training publishes a newer one."""
    import asyncio

    from aiokafka.errors import KafkaError
    from redis.exceptions import RedisError

    from batch_models import publish, registry
    from schemas.errors import ReelstreamError, ServiceUnavailable

    from ..addresses import load_settings

    settings = load_settings(data)
    there = registry.models(settings.model_path)
    if model is None:
        if len(there) != 1:
            raise ReelstreamError(f"Say which model to roll back. There is: {', '.join(there) or 'none'}.")
        model = there[0]
    try:
        found, before = asyncio.run(publish.rollback(settings, model, version))
    except (OSError, RedisError, KafkaError) as error:
        raise ServiceUnavailable(f"{model} could not be rolled back: {type(error).__name__}: {error}") from error
    made = datetime.fromtimestamp(found.created_at).astimezone()
    typer.echo(f"{model} {found.version} of {made:%Y-%m-%d %H:%M:%S} serves; before: {before or 'unknown'}")
