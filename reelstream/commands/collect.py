"""`reelstream collect`: posts, users and interactions from the external content API."""

import re
from pathlib import Path
from typing import Annotated

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def collect(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="KIND", help="Which kinds, in this order; all unless named.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="TIME", help="Again and again, with this pause: 90s, 15m, 2h.")
    ] = None,
    page_size: Annotated[int, typer.Option(min=1, max=1000, help="Rows a page.")] = 1000,
    data: Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")] = Path(".reelstream"),
) -> None:
    """Brings in what is new or changed since the last time. A run that ended early goes on at its page.

    Kinds: all-users, all-posts, viewed-posts, liked-posts, inspired-posts, rated-posts.
    """
    import asyncio

    from collector.kinds import KINDS
    from schemas.errors import ReelstreamError

    from ..addresses import load_settings
    from ..collecting import collect_all

    unknown = [name for name in kinds or [] if name not in KINDS]
    if unknown:
        raise ReelstreamError(f"There is no kind {unknown[0]!r} to collect; there are: {', '.join(KINDS)}.")
    chosen = [KINDS[name] for name in kinds or KINDS]
    pause = None if every is None else _seconds(every)
    if not asyncio.run(collect_all(chosen, load_settings(data), page_size, pause)):
        raise typer.Exit(1)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not found or int(found[1]) == 0:
        from schemas.errors import ReelstreamError

        raise ReelstreamError(f"--every is {text!r}; allowed is a number with s, m, h or d, as in 15m.")
    return float(int(found[1]) * _UNITS[found[2]])
