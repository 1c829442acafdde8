"""Rows of posts as Redis has them: 400 bytes each, where the objects that they are read into take 2 KB."""

from collections.abc import Iterator

import structlog

from schemas import posts
from schemas.errors import ReelstreamError
from schemas.posts import Post

_log = structlog.get_logger()


class PostRows:
    """Rows by slot, None for a post that is known only as a neighbour, or was deleted, or whose JSON is damaged. Each
    look reads a row anew, 8 µs."""

    def __init__(self) -> None:
        self._rows: list[bytes | None] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, slot: int) -> Post | None:
        row = self._rows[slot]
        if row is None:
            return None
        try:
            return posts.decode(row)
        except ReelstreamError as error:
            _log.warning("a post is left out", error=str(error))
            return None

    def __iter__(self) -> Iterator[Post | None]:
        return (self[slot] for slot in range(len(self._rows)))

    def encoded(self, slot: int) -> bytes | None:
        """The row itself (schemas.posts.encode): the same bytes as long as it says the same."""
        return self._rows[slot]

    def add(self, count: int) -> None:
        """Slots without a row."""
        self._rows += [None] * count

    def put(self, slot: int, row: bytes | None) -> None:
        self._rows[slot] = row
