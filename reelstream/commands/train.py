"""`reelstream train`: the batch models."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Which models; all unless named.")] = None,
    every: Annotated[
        float | None, typer.Option(metavar="MINUTES", min=0.01, help="Train again and again, with this pause.")
    ] = None,
    snapshot: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Learn from a snapshot of before, under MODEL_PATH/snapshots, not from now."),
    ] = None,
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Trains on what PostgreSQL has, compares with popularity on a later time slice, and publishes what is better."""
    from schemas.errors import ReelstreamError

    from ..addresses import load_settings

    try:
        from batch_models.refresh import run
    except ImportError as error:
        raise ReelstreamError(f"Training needs more packages ({error}): pip install 'reelstream[batch]'") from None

    run(load_settings(data), models or [], every, snapshot)
