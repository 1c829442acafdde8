"""Runs a rebuild by hand, or watches the one that is under way, with a progress bar."""

import asyncio
from typing import Any

import asyncpg
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schemas import audit, generation, keys
from schemas.database import create_pool
from schemas.errors import ServiceUnavailable
from schemas.generation import Generation
from schemas.settings import Settings
from streams.batches import Conflict
from streams.rebuild import Rebuild
from streams.redis import connect

POLL_SECONDS = 0.2


async def run(settings: Settings) -> None:
    """Returns when the state is built. Raises ServiceUnavailable when a service does not answer."""
    console = Console(stderr=True)
    redis = connect(settings.require("REDIS_URL"))
    pool = await create_pool(settings)
    columns = TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    try:
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("events", total=None)

            def show(building: Generation) -> None:
                progress.update(bar, completed=building.done, total=max(building.total, 1))

            if await Rebuild(redis, pool, settings, show).run("asked for by `reelstream rebuild`"):
                built = await _read(redis)
                await audit.note(settings, audit.operator(), "rebuild", "state")
            else:
                console.print("a rebuild is under way already; this is its progress")
                while (built := await _read(redis)) is None or not built.ready:
                    if built is not None:
                        show(built)
                    await asyncio.sleep(POLL_SECONDS)
            progress.update(bar, completed=1, total=1)
    except (RedisError, asyncpg.PostgresError, asyncpg.InterfaceError, KafkaError, OSError, Conflict) as error:
        raise ServiceUnavailable(
            f"the rebuild was interrupted ({type(error).__name__}: {error}); a worker begins it again on its own"
        ) from error
    finally:
        pool.terminate()
        await redis.aclose()
    if built is not None:
        seconds = built.ended_at - built.started_at
        console.print(f"built from {built.done:,} recorded events in {seconds:.1f} s; workers read on from there")


async def _read(redis: Redis) -> Generation | None:
    payload: Any = await redis.get(keys.GENERATION)
    return generation.decode(payload)
