"""The `reelstream` command: one file a command, in reelstream/commands."""

from typing import Annotated

import typer

from schemas.errors import ReelstreamError

from . import logging
from .commands import (
    api,
    collect,
    dead_letters,
    dev_upstream,
    evaluate,
    experiments,
    export,
    forget,
    import_,
    migrate,
    models,
    rebuild,
    replay,
    status,
    topics,
    train,
    trending,
    up,
    worker,
)

app = typer.Typer(
    help="A streaming recommender for short video: learns from every event, shows it in the next feed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def set_up(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False) -> None:
    logging.set_up(verbose)


app.command()(up.up)
app.command()(status.status)
app.command()(replay.replay)
app.command()(collect.collect)
app.command(name="dev-upstream")(dev_upstream.dev_upstream)
app.command(name="import")(import_.import_)
app.command()(export.export)
app.command()(forget.forget)
app.command()(trending.trending)
app.add_typer(dead_letters.app, name="dead-letters")
app.command()(rebuild.rebuild)
app.command()(train.train)
app.add_typer(models.app, name="models")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(experiments.app, name="experiments")
app.command()(api.api)
app.command()(worker.worker)
app.command()(migrate.migrate)
app.command()(topics.topics)


def main() -> None:
    """Runs the command. What reelstream raises on purpose is one sentence on stderr and exit status 1."""
    try:
        app()
    except ReelstreamError as error:
        typer.echo(f"reelstream: {error}", err=True)
        raise SystemExit(1) from None
