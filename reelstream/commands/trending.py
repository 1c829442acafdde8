"""`reelstream trending`: what is trending, from the topic."""

from pathlib import Path
from typing import Annotated

import typer

ROWS = 20
LOOK_BACK = 1_000
"""Messages read to find the newest of `all`: its partition holds snapshots of some categories too."""


def trending(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on and show each change.")] = False,
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Shows what is trending over all categories."""
    import asyncio
    import contextlib

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_show(follow, data))


async def _show(follow: bool, data: Path) -> None:
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    from schemas import topics
    from schemas.trending import ALL, TrendingSnapshot, decode

    from ..addresses import load_settings
    from ..topic_reader import newest

    def show(snapshot: TrendingSnapshot) -> None:
        at = datetime.fromtimestamp(snapshot.at).astimezone()
        table = Table("", "post", "score", "moved", title=f"trending ({snapshot.window}) at {at:%H:%M:%S}")
        for post in snapshot.posts[:ROWS]:
            moved = "new" if post.moved is None else f"{post.moved:+d}" if post.moved else ""
            table.add_row(str(post.rank), str(post.post_id), f"{post.score:.1f}", moved)
        Console().print(table)

    settings = load_settings(data)
    partition = topics.owner(ALL, settings.kafka_partitions)
    latest = None
    async for records in newest(settings, topics.TRENDING, [partition], LOOK_BACK, follow=follow):
        snapshots = [decode(record.value) for record in records if record.key == ALL.encode()]
        latest = snapshots[-1] if snapshots else latest
        if snapshots and follow:
            show(snapshots[-1])
    if latest is None:
        typer.echo("nothing is trending yet")
    else:
        show(latest)
