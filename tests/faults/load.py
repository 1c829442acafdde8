"""The load: messages and requests as different clients send them, in an order that depends on the seed only."""

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from schemas import topics
from schemas.topics import owner

from .events import POSTS, RUBBISH, RUBBISH_ROWS, Events, encode
from .system import PARTITIONS

Named = tuple[str, str]
"""Username and event id."""


class Message(NamedTuple):
    """A Kafka message. partition None: by murmur2 of the key. named: what must be in the log once it is accepted."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int | None
    events: int = 0
    named: tuple[Named, ...] = ()


class Request(NamedTuple):
    """An HTTP request to the API; 503, no answer and a lost connection are answered by sending the same again."""

    method: str
    path: str
    body: bytes
    events: int = 0
    named: tuple[Named, ...] = ()


class Load:
    """An endless series of messages."""

    def __init__(self, seed: int, begin: float) -> None:
        self._events = Events(seed, begin)
        self._rng = self._events.rng
        self._rows = 0
        self._ways = (
            (self._by_owner, 26), (self._by_crc32, 12), (self._without_key, 8), (self._array_of_a_user, 7),
            (self._mixed_array, 5), (self._repeats_elsewhere, 5), (self._request, 18), (self._array_request, 5),
            (self._row, 6), (self._rows_array, 2), (self._row_request, 3), (self._rubbish, 2), (self._rubbish_row, 1),
        )  # fmt: skip

    def first_rows(self) -> Iterator[Message]:
        """Rows of four posts in five; the others are touched long before, or without ever, being known."""
        for post_id in range(1, POSTS + 1):
            if post_id % 5:
                yield self._row_message(post_id, self._events.row_of(post_id))

    def next(self) -> Message | Request:
        ways, weights = zip(*self._ways, strict=True)
        message: Message | Request = self._rng.choices(ways, weights)[0]()
        return message

    def _by_owner(self) -> Message:
        event = self._events.draw()
        return _interactions([event], _key(event), None)

    def _by_crc32(self) -> Message:
        """As librdkafka places keys."""
        event = self._events.draw()
        return _interactions([event], _key(event), zlib.crc32(_key(event)) % PARTITIONS)

    def _without_key(self) -> Message:
        return _interactions([self._events.draw()], None, self._rng.randrange(PARTITIONS))

    def _array_of_a_user(self) -> Message:
        events = self._events.of_one_user(self._rng.randint(2, 12))
        return _interactions(events, _key(events[0]), None)

    def _mixed_array(self) -> Message:
        events = [self._events.draw() for _ in range(self._rng.randint(1, 25))]
        entries: list[Any] = [*events]
        if self._rng.random() < 0.2:
            entries.insert(self._rng.randrange(len(events) + 1), {"username": "x", "post_id": "wrong"})
        named = _named(events)
        return Message(topics.INTERACTIONS, encode(entries), None, self._rng.randrange(PARTITIONS), len(events), named)

    def _repeats_elsewhere(self) -> Message:
        """Events again inside an array on a partition that owns, at the most, some of their users."""
        events = [self._events.draw(named=True)]
        events += [self._events.repeat() for _ in range(self._rng.randint(1, 8))]
        wrong = (owner(events[0]["username"], PARTITIONS) + self._rng.randint(1, PARTITIONS - 1)) % PARTITIONS
        return _interactions(events, b"an array", wrong)

    def _request(self) -> Request:
        event = self._events.draw(named=True)
        return Request("POST", "/api/v1/interaction", encode(event), 1, _named([event]))

    def _array_request(self) -> Request:
        events = [self._events.draw(named=True) for _ in range(self._rng.randint(1, 20))]
        return Request("POST", "/api/v1/interactions", encode(events), len(events), _named(events))

    def _row(self) -> Message:
        return self._row_message(*self._events.row())

    def _rows_array(self) -> Message:
        """Rows of posts of one owner: the order of a post's rows is that of its partition."""
        rows = [self._events.row_of(self._rng.randint(1, POSTS)) for _ in range(12)]
        home = _home(rows[0]["id"])
        # A key of its own: were it a post's, compaction would take the others' rows away with it.
        self._rows += 1
        key = f"rows {self._rows}".encode()
        return Message(topics.POSTS, encode([row for row in rows if _home(row["id"]) == home]), key, home)

    def _row_request(self) -> Request:
        post_id, row = self._events.row()
        if row is None:
            return Request("DELETE", f"/api/v1/posts/{post_id}", b"")
        return Request("POST", "/api/v1/posts", encode([row]))

    def _rubbish(self) -> Message:
        key = self._rng.choice((b"rubbish", b"\xff"))
        return Message(topics.INTERACTIONS, self._rng.choice(RUBBISH), key, self._rng.randrange(PARTITIONS))

    def _rubbish_row(self) -> Message:
        # Compacted topics take no message without a key; a null value under such a key deletes nothing.
        value = self._rng.choice((*RUBBISH_ROWS, None))
        return Message(topics.POSTS, value, b"rubbish", self._rng.randrange(PARTITIONS))

    @staticmethod
    def _row_message(post_id: int, row: dict[str, Any] | None) -> Message:
        return Message(topics.POSTS, encode(row) if row else None, str(post_id).encode(), _home(post_id))


def _home(post_id: int) -> int:
    return owner(str(post_id), PARTITIONS)


def _key(event: dict[str, Any]) -> bytes:
    return str(event["username"]).encode()


def _named(events: list[dict[str, Any]]) -> tuple[Named, ...]:
    return tuple((event["username"], event["event_id"]) for event in events if "event_id" in event)


def _interactions(events: list[dict[str, Any]], key: bytes | None, partition: int | None) -> Message:
    value = encode(events if len(events) > 1 else events[0])
    return Message(topics.INTERACTIONS, value, key, partition, len(events), _named(events))
