"""Rows of JSONL, CSV and Parquet files as messages of the contract, each with its place in the file."""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas import topics
from schemas.errors import ContractError, ReelstreamError
from schemas.events import Interaction, decode_interaction
from schemas.posts import PostRow, decode_post
from schemas.users import User, decode_user, encode

from .datasets.folder import line_id, numbered_lines

KINDS = ("users", "posts", "interactions")
"""In the order in which they are sent."""
_FORMATS = (".jsonl", ".csv", ".parquet")
_TYPES: dict[str, type[msgspec.Struct]] = {"users": User, "posts": PostRow, "interactions": Interaction}
_ROWS_A_FETCH = 10_000


class Row(NamedTuple):
    """place: FILE:LINE. message: key and value, an Interaction for interactions; or why the row is rejected."""

    place: str
    message: tuple[str, bytes | Interaction] | ContractError


def kind_of(path: Path, told: str | None) -> str:
    """Which rows a file has: as told, or by its name. Raises ReelstreamError."""
    for kind in KINDS:
        if kind in (told, path.name.split(".")[0]):
            return kind
    raise ReelstreamError(f"{path}: what is in it? Say so by its name, or with --kind: {', '.join(KINDS)}.")


def files_of(path: Path) -> list[Path]:
    """The files to import: the one named, or those of a folder that are named after a kind. Raises ReelstreamError."""
    if path.is_file():
        return [path]
    found = [
        file for kind in KINDS for file in sorted(path.glob(f"{kind}.*")) if _format(file) in _FORMATS
    ]  # fmt: skip
    if not found:
        raise ReelstreamError(f"{path} is no file, nor a folder with {', '.join(KINDS)} as .jsonl, .csv or .parquet.")
    return found


def read(path: Path, kind: str, columns: Mapping[str, str]) -> Iterator[Row]:
    """columns: field of the contract → column of the file, where they differ. Raises ReelstreamError."""
    form = _format(path)
    readers: dict[str, Callable[[Path], Iterator[tuple[int, bytes | dict[str, Any]]]]] = {
        ".jsonl": numbered_lines, ".csv": _csv, ".parquet": _parquet,
    }  # fmt: skip
    if form not in readers:
        raise ReelstreamError(f"{path} is none of {', '.join(_FORMATS)}; the first two may end in .gz besides.")
    try:
        for number, row in readers[form](path):
            try:
                line = row if isinstance(row, bytes) else _from_columns(row, kind, columns)
                yield Row(f"{path.name}:{number}", _message(line, kind, number))
            except ContractError as error:
                yield Row(f"{path.name}:{number}", error)
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise ReelstreamError(f"{path} can't be read: {error}.") from error


def _message(line: bytes, kind: str, number: int) -> tuple[str, bytes | Interaction]:
    if kind == "posts":
        return str(decode_post(line).id), line
    if kind == "users":
        user = decode_user(line)
        return user.username, encode(user)
    event = decode_interaction(line)
    if event.event_id is None:
        event.event_id = line_id(number, line)
    return event.username, event


def _from_columns(row: dict[str, Any], kind: str, columns: Mapping[str, str]) -> bytes:
    """A row of a table as JSON: numbers and times may be text, tags `a|b`; an empty cell is none.

    Raises ContractError.
    """
    renamed = {column: field for field, column in columns.items()}
    cells = {renamed.get(name, name): value for name, value in row.items() if value not in (None, "") and name}
    if isinstance(tags := cells.get("tags"), str):
        cells["tags"] = [tag for part in tags.split("|") if (tag := part.strip())]
    try:
        typed = msgspec.to_builtins(msgspec.convert(cells, _TYPES[kind], strict=False))
        return msgspec.json.encode({**cells, **{name: typed[name] for name in typed if name in cells}})
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise ContractError(str(error)) from None


def _format(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with (
        gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8-sig", newline="") as file
    ):
        reader = csv.DictReader(file)
        for row in reader:
            yield reader.line_num, row


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        raise ReelstreamError("Parquet needs one more package: pip install 'reelstream[evaluate]'") from None
    try:
        number = 0
        for batch in parquet.ParquetFile(path).iter_batches(_ROWS_A_FETCH):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except pa.ArrowException as error:
        raise ReelstreamError(f"{path} can't be read: {error}.") from error


TOPIC_OF = {"users": topics.USERS, "posts": topics.POSTS}
