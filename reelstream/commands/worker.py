"""`reelstream worker`: the stream processors."""

from enum import StrEnum
from typing import Annotated

import typer


class Role(StrEnum):
    """learn: users and items into Redis. models: the global models. record: the event log into PostgreSQL. all: each
    in a process of its own."""

    learn = "learn"
    models = "models"
    record = "record"
    all = "all"


def worker(
    role: Annotated[
        Role,
        typer.Option(
            help="learn: events into Redis; models: into the global models; record: into PostgreSQL; all: one of each."
        ),
    ] = Role.all,
    slot: Annotated[
        int, typer.Option(min=0, help="Number of this worker among those of its role; no two may share one.")
    ] = 0,
) -> None:
    """Applies events from Kafka. Start more, each with a slot of its own, to share the partitions."""
    from schemas.settings import Settings

    settings = Settings.load()
    if role is not Role.all:
        from .. import blas

        blas.one_thread()
        from streams.worker import run

        from ..kafka_clients import mend

        mend()
        run(settings, role.value, slot)
        return
    import asyncio

    from ..workers import run_all

    asyncio.run(run_all(settings, slot, lambda line: typer.echo(line, err=True)))
