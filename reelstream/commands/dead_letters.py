"""`reelstream dead-letters`: messages that were refused; list them, look at one, send them again."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..dead_letters import Filter, Found

app = typer.Typer(
    help="Messages that could not be read or break the contract: list them, show one, resend them after a fix.",
    no_args_is_help=True,
)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is not an ISO 8601 time such as 2026-11-22T20:54:00") from None


Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Letters by the name that `list` prints, e.g. interactions-2-1041-0."),
]
Topic = Annotated[str | None, typer.Option(help="Only those refused from this topic, e.g. interactions.")]
Reason = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Only those whose reason has this text in it, capitals or not.")
]
Field = Annotated[str | None, typer.Option(help="Only those refused for this field, e.g. post_id.")]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=_time,
        metavar="TIME",
        help="Only those refused at or after this time: ISO 8601, local unless it says so.",
    ),
]
Until = Annotated[datetime | None, typer.Option(parser=_time, metavar="TIME", help="Only those refused before it.")]
Newest = Annotated[int, typer.Option(min=1, metavar="N", help="The newest N of them.")]
NewestOrAll = Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N of them; all unless told.")]
Data = Annotated[Path, typer.Option(help="State directory of a running `reelstream up`.")]
STATE = Path(".reelstream")
EXCERPT = 200


@app.command("list")
def list_(
    topic: Topic = None, reason: Reason = None, field: Field = None, since: Since = None, until: Until = None,
    limit: Newest = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with the whole payload.")] = False,
    data: Data = STATE,
) -> None:  # fmt: skip
    """Lists the newest dead letters, the newest last: when it was refused, its name, why, and how it begins."""
    from schemas.errors import printable

    found = _find(_filter(topic, reason, field, since, until), limit, data)
    if as_json:
        for each in found:
            typer.echo(_json(each))
        return
    for each in found:
        typer.echo(f"{each.at.astimezone():%Y-%m-%d %H:%M:%S}  {_name(each)}  {printable(each.letter.reason)}")
        typer.echo(f"    {printable(each.letter.payload, EXCERPT)}")
    if not found:
        typer.echo("no dead letters")


@app.command()
def show(
    names: Names = None, topic: Topic = None, reason: Reason = None, field: Field = None, since: Since = None,
    until: Until = None, limit: Newest = 20, data: Data = STATE,
) -> None:  # fmt: skip
    """Shows all there is of the letters named, or else of the newest that the options choose, the newest last."""
    found = _find(_filter(topic, reason, field, since, until, names), None if names else limit, data)
    for each in found:
        _show(each)
    if not found:
        typer.echo("no dead letters")


@app.command()
def resend(
    names: Names = None, topic: Topic = None, reason: Reason = None, field: Field = None, since: Since = None,
    until: Until = None, limit: NewestOrAll = None,
    data: Data = STATE,
) -> None:  # fmt: skip
    """Sends letters back to their topics, once what refused them is mended: those named, or those the options choose.

    Each is read again first: what the contract still refuses is listed and not sent, and the exit status is 1.
    An event counts once, however often it is resent. A row of a post or a user takes the place of the one that is
    there: resend it only when no newer one has come since. `list` with the same options shows what would be sent.
    """
    import asyncio

    from schemas.errors import ReelstreamError

    from ..addresses import load_settings
    from ..resending import plan, send

    wanted = _filter(topic, reason, field, since, until, names)
    if wanted == _filter() and limit is None:
        raise ReelstreamError("Say which letters to resend: names, or options such as --topic; --help lists them.")
    found = _find(wanted, limit, data)
    made = plan(found)
    for name, why in made.refused:
        typer.echo(f"refused {name}: {why}")
    typer.echo(f"{len(found)} letters: sending {made.counts}; still refused {len(made.refused)}")
    if made.messages:
        asyncio.run(send(load_settings(data), made.messages))
        typer.echo(f"sent {made.counts}")
    if made.refused:
        raise typer.Exit(1)


def _filter(
    topic: str | None = None, reason: str | None = None, field: str | None = None, since: datetime | None = None,
    until: datetime | None = None, names: list[str] | None = None,
) -> "Filter":  # fmt: skip
    from ..dead_letters import Filter

    return Filter(topic, reason, field, since, until, frozenset(names or ()))


def _find(wanted: "Filter", limit: int | None, data: Path) -> "list[Found]":
    import asyncio

    from ..addresses import load_settings
    from ..dead_letters import find

    return asyncio.run(find(load_settings(data), wanted, limit))


def _name(each: "Found") -> str:
    from schemas.errors import printable

    return printable(each.letter.name)


def _json(each: "Found") -> bytes:
    import msgspec

    return msgspec.json.encode({"name": each.letter.name, "refused_at": each.at, **msgspec.structs.asdict(each.letter)})


def _show(each: "Found") -> None:
    from schemas.errors import printable

    letter = each.letter
    produced = f"{datetime.fromtimestamp(letter.produced_at).astimezone():%Y-%m-%d %H:%M:%S}"
    size = f"{letter.size} bytes" + (", of which only the beginning was kept" if letter.cut else "")
    kind = "one entry of an array" if letter.of_array else "key of a deletion" if letter.deletion else "whole message"
    for title, text in (
        ("name", letter.name),
        ("refused", f"{each.at.astimezone():%Y-%m-%d %H:%M:%S}"),
        ("reason", letter.reason),
        ("field", letter.field or "-"),
        ("source", f"topic {letter.topic}, partition {letter.partition}, offset {letter.offset}, entry {letter.index}"),
        ("produced", produced if letter.produced_at else "-"),
        ("payload", f"{kind}, {size if letter.size else 'size unknown'}, as {letter.encoding}:"),
    ):
        typer.echo(f"{title:<10}{printable(text)}")
    # A terminal takes lines and tabs; anything else that rules it is shown as an escape.
    lines = letter.payload.replace("\t", "    ").split("\n")
    typer.echo("\n".join(printable(line, len(line) * 10) for line in lines) + "\n")
