"""Events, rows and rubbish from a seed: what publishers say, before anything is known of how they send it."""

import json
import random
from collections import deque
from datetime import UTC, datetime
from typing import Any

from schemas.events import INTERACTION_TYPES

USERS = 150
POSTS = 400
"""A hundred a partition: fewer than a trending set holds, so that none is left out for room."""
TASTES = 8
REMEMBERED = 20_000
"""Events that may be sent again, however long ago."""
CATEGORIES = ("Motivation", "Flic", "Sport", "Music", "Cooking")
_WEIGHTS = (40, 12, 4, 8, 4, 5, 3, 3, 6, 4, 2)  # of INTERACTION_TYPES

RUBBISH: tuple[bytes | None, ...] = (
    b"\xff\xfe\x00", b"", None, b"{", b"[[[", b"[1, {}]", b"null", b'"text"', b'{"username": "x"}',
    b'{"username": "", "post_id": 1, "interaction_type": "like"}',
    b'{"username": "x", "post_id": 0, "interaction_type": "like"}',
    b'{"username": "x", "post_id": 1, "interaction_type": "adore"}',
    b'{"username": "x", "post_id": 1, "interaction_type": "rating"}',
    b'{"username": "x", "post_id": 1, "interaction_type": "view", "interaction_value": -1}',
    b'{"username": "x", "post_id": 1, "interaction_type": "like", "interaction_value": 0.5}',
    b'{"username": "x", "post_id": 1, "interaction_type": "like", "occurred_at": "yesterday"}',
    b'{"username": "x", "post_id": 1, "interaction_type": "like", "occurred_at": "2999-01-01T00:00:00Z"}',
    b'{"username": "x\\u0000", "post_id": 1, "interaction_type": "like"}',
    b'{"username": "\xc3\x28", "post_id": 1, "interaction_type": "like"}',
)  # fmt: skip
RUBBISH_ROWS: tuple[bytes, ...] = (
    b"\xff\xfe", b"", b"{", b"[[[", b'{"id": 0}', b'{"id": "one"}', b'{"title": "no id"}',
    b'{"id": 7, "created_at": "soon"}', b'{"id": 7, "title": "a\\u0000b"}',
)  # fmt: skip


class Events:
    """Draws everything from one random generator; `begin`: event time of the first event, seconds since 1970."""

    def __init__(self, seed: int, begin: float) -> None:
        self.rng = random.Random(f"load {seed}")
        self._at = begin
        self._number = 0
        self._seed = seed
        self._sent: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
        self._standing: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)

    def draw(self, *, named: bool = False) -> dict[str, Any]:
        """An event: a new one, one sent before, or a take-back of what stands or doesn't. named: with an event id."""
        roll = self.rng.random()
        if roll < 0.08 and self._sent:
            return self.repeat()
        if roll < 0.14 and self._standing:
            place = self.rng.randrange(len(self._standing))
            taken = self._standing[place]
            del self._standing[place]
            return self._event(taken["username"], taken["post_id"], taken["interaction_type"], 0, named)
        kind = self.rng.choices(INTERACTION_TYPES, _WEIGHTS)[0]
        measured = kind in ("view", "rating")
        value: float | None = 1
        if kind == "view":
            value = self.rng.choice((None, 0, 1, round(self.rng.random() * 1.5, 3)))
        elif kind == "rating":
            value = self.rng.randrange(101)
        elif roll < 0.17:
            value = 0  # of what, most likely, doesn't stand
        username = self._username()
        event = self._event(username, self._post_of(username), kind, value, named)
        if not measured and value:
            self._standing.append(event)
        return event

    def repeat(self) -> dict[str, Any]:
        """An event that was drawn before and has an id: one of the last twenty, or any that is remembered."""
        near = self.rng.random() < 0.6
        place = self.rng.randrange(min(20, len(self._sent)) if near else len(self._sent))
        return self._sent[-1 - place]

    def of_one_user(self, count: int) -> list[dict[str, Any]]:
        """New events of one user."""
        username = self._username()
        kinds = self.rng.choices(("view", "like", "share", "exit"), (5, 3, 1, 1), k=count)
        return [self._event(username, self._post_of(username), kind, 1, named=False) for kind in kinds]

    def _event(self, username: str, post_id: int, kind: str, value: float | None, named: bool) -> dict[str, Any]:
        self._at += self.rng.expovariate(20.0)
        event: dict[str, Any] = {"username": username, "post_id": post_id, "interaction_type": kind}
        if kind == "rating" and self.rng.random() < 0.3:
            event["interaction_type"] = "rate"
        if value is not None:
            event["interaction_value"] = value
        if self.rng.random() < 0.95:
            late = self.rng.choice((30.0, 3_600.0, 200_000.0)) if self.rng.random() < 0.1 else 0.0
            at = self._at - self.rng.random() * late
            event["occurred_at"] = datetime.fromtimestamp(round(at, 3), UTC).isoformat()
        if named or self.rng.random() < 0.95:
            self._number += 1
            # The ids of different users are the same now and then: an id names an event of its user.
            event["event_id"] = f"{self._seed}-{self._number}" if self._number % 50 else "everybody's"
            if self._number % 50:
                self._sent.append(event)
        return event

    def row(self) -> tuple[int, dict[str, Any] | None]:
        """Id and a new row of a post; None: its deletion."""
        post_id = self.rng.randint(1, POSTS)
        if self.rng.random() < 0.2:
            return post_id, None
        return post_id, self.row_of(post_id)

    def row_of(self, post_id: int) -> dict[str, Any]:
        self._number += 1
        row: dict[str, Any] = {"id": post_id, "title": f"post {post_id}, text {self._number}"}
        if self.rng.random() < 0.9:
            name = self.rng.choice(CATEGORIES)
            row["category"] = name if self.rng.random() < 0.5 else {"id": len(name), "name": name}
        row["is_locked"] = self.rng.random() < 0.1
        return row

    def _username(self) -> str:
        """Some users are heard of far more often than others; a name may need escaping and more than ASCII."""
        number = int(USERS * self.rng.random() ** 2)
        return f"user {number}" if number % 10 else f"användare “{number}”"

    def _post_of(self, username: str) -> int:
        """Mostly a post of the user's taste, so that posts have neighbours that stand out."""
        post_id = int(POSTS * self.rng.random() ** 3)
        if self.rng.random() < 0.8:
            post_id += (len(username) * 7 + ord(username[-1]) - post_id) % TASTES
        return 1 + post_id % POSTS


def encode(value: object) -> bytes:
    return json.dumps(value).encode()
