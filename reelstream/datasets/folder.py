"""A data set on disk: interactions.jsonl in time order, posts.jsonl and, if you like, users.jsonl; or each as .gz."""

import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.errors import ContractError, ReelstreamError
from schemas.events import Interaction, decode_interaction
from schemas.posts import decode_post
from schemas.users import User, decode_user


class Event(NamedTuple):
    """One line of interactions.jsonl. `place` is FILE:LINE. `value` has an event id and a time, or is the fault."""

    place: str
    value: Interaction | ContractError


class PostRow(NamedTuple):
    """One line of posts.jsonl, as it came."""

    place: str
    value: dict[str, Any] | ContractError


class UserRow(NamedTuple):
    """One line of users.jsonl."""

    place: str
    value: User | ContractError


class Folder:
    """A data set to read. Raises ReelstreamError when a file that must be there is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._interactions = self._file("interactions")
        self._posts = self._file("posts")
        self._users = self._file("users", needed=False)

    def _file(self, kind: str, needed: bool = True) -> Path | None:
        for name in (f"{kind}.jsonl", f"{kind}.jsonl.gz"):
            if (self.path / name).is_file():
                return self.path / name
        if needed:
            raise ReelstreamError(f"{self.path} is not a data set: it has no {kind}.jsonl, nor {kind}.jsonl.gz.")
        return None

    def events(self) -> Iterator[Event]:
        """Interactions in the order of the file; a line that breaks the contract comes as its ContractError.

        A line without an event id gets its line_id. Raises ReelstreamError when a line is earlier than the one before.
        """
        before: datetime | None = None
        for place, number, line in _lines(self._interactions):
            try:
                event = decode_interaction(line)
                if event.occurred_at is None:
                    raise ContractError("occurred_at: a data set says when each interaction happened", "occurred_at")
            except ContractError as error:
                yield Event(place, error)
                continue
            if before is not None and event.occurred_at < before:
                raise ReelstreamError(
                    f"{place} is earlier than the interaction before it: a data set is in time order. "
                    "Sort the file by occurred_at, then try again."
                )
            before = event.occurred_at
            if event.event_id is None:
                event.event_id = line_id(number, line)
            yield Event(place, event)

    def posts(self) -> Iterator[PostRow]:
        """Post rows, checked against the contract and otherwise as they came."""
        for place, _, line in _lines(self._posts):
            try:
                decode_post(line)
            except ContractError as error:
                yield PostRow(place, error)
            else:
                yield PostRow(place, msgspec.json.decode(line))

    def users(self) -> Iterator[UserRow]:
        """User rows; none when the data set has no users.jsonl."""
        for place, _, line in _lines(self._users):
            try:
                yield UserRow(place, decode_user(line))
            except ContractError as error:
                yield UserRow(place, error)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line that is not empty, with its number from 1. Raises OSError, EOFError or zlib.error."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line := line.strip():
                yield number, line


def line_id(number: int, line: bytes) -> str:
    """Names an event without an id: the same line of the same file has the same one every time."""
    return "line-" + hashlib.blake2b(b"%d:%b" % (number, line), digest_size=12).hexdigest()


def _lines(path: Path | None) -> Iterator[tuple[str, int, bytes]]:
    """FILE:LINE, LINE and the text of every line that is not empty."""
    if path is None:
        return
    try:
        for number, line in numbered_lines(path):
            yield f"{path.name}:{number}", number, line
    except (OSError, EOFError, zlib.error) as error:
        raise ReelstreamError(f"{path} can't be read: {error}. Fetch or write it again.") from error


def write(path: Path, *, interactions: Iterable[Any], posts: Iterable[Any], users: Iterable[Any]) -> None:
    """Writes a data set to `path`, which appears whole or not at all. Rows are anything that encodes to JSON.

    A folder that another process wrote meanwhile is left as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        for kind, rows in (("interactions", interactions), ("posts", posts), ("users", users)):
            # Level 3: a fifth of the size in half the time of level 9.
            with gzip.open(whole / f"{kind}.jsonl.gz", "wb", compresslevel=3) as file:
                file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)
        whole.chmod(0o755)
        if not path.exists():
            os.rename(whole, path)
    finally:
        shutil.rmtree(whole, ignore_errors=True)
