"""The trending stream and what moved: snapshots, changes, coming back, and a listener that is too slow."""

import asyncio
import time
from array import array
from typing import Any

import msgspec
import numpy as np
import pytest

from api import trending_past
from api.catalogue import Catalogue
from api.metrics import Metrics
from api.mirror import Mirror
from api.routes.trending_stream import EventStream
from api.trending_past import TrendingPast
from api.trending_stream import MOST_WAITING, Channel, Listener, TrendingStream
from schemas.item_state import ItemState
from schemas.posts import decode_post

NOW = 1_800_000_000.0
ALL = Channel("24h", None, 3)


class Lists:
    """Redis with one list, whose newest entry is the first."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self._answers: list[Any] = []

    def pipeline(self, transaction: bool) -> "Lists":
        self._answers = []
        return self

    def lrange(self, name: str, start: int, end: int) -> "Lists":
        self._answers.append(self.entries.copy())
        return self

    def lpush(self, name: str, value: bytes) -> "Lists":
        self.entries.insert(0, value)
        return self

    def ltrim(self, name: str, start: int, end: int) -> "Lists":
        del self.entries[end + 1 :]
        return self

    def expire(self, name: str, seconds: int) -> "Lists":
        return self

    async def execute(self) -> list[Any]:
        return self._answers


@pytest.fixture
def mirror() -> Mirror:
    """Posts 1 to 5, the higher the id the more is going on; even ones in category Even."""
    mirror = Mirror(Lists(), 1, Metrics())  # type: ignore[arg-type]
    mirror.catalogue, mirror.problem = Catalogue(), None
    for post_id in range(1, 6):
        row = {"id": post_id, "category": "Even" if post_id % 2 == 0 else "Odd"}
        mirror.catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))
        interest(mirror, post_id, float(post_id))
    return mirror


@pytest.fixture
def stream(mirror: Mirror) -> TrendingStream:
    return TrendingStream(mirror, TrendingPast(Lists(), mirror))  # type: ignore[arg-type]


def interest(mirror: Mirror, post_id: int, strength: float) -> None:
    mirror.catalogue.set_states([post_id], [ItemState(decayed=[strength] * 3, at=NOW)])


def told(listener: Listener) -> list[tuple[str, str, Any]]:
    """Events so far: kind, id, data."""
    found = []
    while listener.events:
        lines = dict(line.split(": ", 1) for line in listener.events.popleft().decode().strip().split("\n"))
        found.append((lines["event"], lines.get("id", ""), msgspec.json.decode(lines["data"])))
    return found


def test_a_listener_gets_the_list_and_then_what_changes(mirror: Mirror, stream: TrendingStream) -> None:
    listener = stream.listen(ALL, None)
    [(kind, _, data)] = told(listener)
    assert (kind, [post["id"] for post in data["post"]]) == ("snapshot", [5, 4, 3])
    assert data["post"][0]["trending"]["rank"] == 1
    stream.tick(NOW + 1)
    assert told(listener) == []
    interest(mirror, 1, 4.5)
    stream.tick(NOW + 2)
    [(kind, _, data)] = told(listener)
    assert (kind, data["left"]) == ("change", [3])
    assert [(post["id"], post["trending"]["rank"]) for post in data["entered"]] == [(1, 2)]
    assert [(post["post_id"], post["rank"]) for post in data["moved"]] == [(4, 3)]
    mirror.catalogue.set_row(5, None)
    stream.tick(NOW + 3)
    [(_, _, data)] = told(listener)
    assert data["left"] == [5]
    assert [(post["id"], post["trending"]["rank"]) for post in data["entered"]] == [(3, 3)]


def test_posts_older_than_the_setting_allows_are_not_listed(mirror: Mirror) -> None:
    for post_id, days in ((5, 10.0), (4, 1.0)):
        row = {"id": post_id, "created_at": (time.time() - days * 86_400) * 1000}
        mirror.catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))
    young = TrendingStream(mirror, TrendingPast(Lists(), mirror, max_age_days=7.0))  # type: ignore[arg-type]
    [(_, _, data)] = told(young.listen(ALL, None))
    assert [post["id"] for post in data["post"]] == [4]  # the others have no date


def test_a_category_and_a_window_are_lists_of_their_own(mirror: Mirror, stream: TrendingStream) -> None:
    even = stream.listen(Channel("1h", "even", 50), None)
    assert [post["id"] for post in told(even)[0][2]["post"]] == [4, 2]
    nothing = stream.listen(Channel("1h", "no such", 50), None)
    assert told(nothing)[0][2]["post"] == []
    interest(mirror, 1, 99.0)
    stream.tick(NOW + 1)
    assert told(even) == told(nothing) == []


def test_who_comes_back_gets_what_was_missed_or_the_whole_list(mirror: Mirror, stream: TrendingStream) -> None:
    listener = stream.listen(ALL, None)
    last = told(listener)[0][1]
    stream.leave(ALL, listener)
    assert told(stream.listen(ALL, last)) == []
    watching = stream.listen(ALL, None)
    for number in range(1, 4):
        interest(mirror, number, 10.0 * number)
        stream.tick(NOW + number)
    assert told(stream.listen(ALL, last)) == told(watching)[1:]
    other = TrendingStream(mirror, stream._past)
    for unknown in (last, "", "x-1", last[:9] + "99999", last.split("-")[0], last + "9" * 30, last + "²"):
        [(kind, _, data)] = told(other.listen(ALL, unknown) if unknown == last else stream.listen(ALL, unknown))
        assert (kind, [post["id"] for post in data["post"]]) == ("snapshot", [3, 2, 1])
    for number in range(MOST_WAITING):
        interest(mirror, number % 2 + 1, 100.0 + number)
        stream.tick(NOW + 10 + number)
    assert [kind for kind, _, _ in told(stream.listen(ALL, last))] == ["snapshot"]


async def test_a_slow_listener_is_dropped_with_a_word_and_holds_up_nobody(
    mirror: Mirror, stream: TrendingStream
) -> None:
    slow, quick = stream.listen(ALL, None), stream.listen(ALL, None)
    heard = len(told(quick))
    for number in range(MOST_WAITING):
        interest(mirror, number % 2 + 1, 100.0 + number)
        stream.tick(NOW + number)
        heard += len(told(quick))
    assert heard == MOST_WAITING + 1
    words = [event async for event in slow.read()]
    assert len(words) == 1
    assert words[0].startswith(b"event: dropped\n")
    assert b"too slow" in words[0]
    interest(mirror, 3, 1e6)
    stream.tick(NOW + 99)
    assert len(told(quick)) == 1
    assert not slow.events


async def test_a_quiet_stream_is_kept_alive_and_ends_when_the_client_leaves(
    stream: TrendingStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.trending_stream.KEEP_ALIVE_SECONDS", 0.001)
    listener, sent, left = stream.listen(ALL, None), [], asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message.get("body"))
        if sent.count(b": keep-alive\n\n") == 2:
            left.set()

    async def receive() -> dict[str, str]:
        await left.wait()
        return {"type": "http.disconnect"}

    await EventStream(stream, ALL, listener)({"type": "http"}, receive, send)
    assert listener.closed
    assert not stream._lists[ALL].listeners


async def test_a_process_that_ends_ends_its_streams(stream: TrendingStream) -> None:
    listeners = [stream.listen(channel, None) for channel in (ALL, Channel("1h", None, 3))]
    stream.end()
    for listener in listeners:
        assert len([event async for event in listener.read()]) == 1


async def test_a_connection_that_takes_nothing_is_given_up(
    stream: TrendingStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.trending_stream.SEND_SECONDS", 0.001)

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    await EventStream(stream, ALL, stream.listen(ALL, None))({"type": "http"}, asyncio.Event().wait, send)  # type: ignore[arg-type]
    assert not stream._lists[ALL].listeners


async def test_movement_is_against_an_hour_ago_or_as_long_ago_as_is_known(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis, catalogue = Lists(), mirror.catalogue
    past = TrendingPast(redis, mirror)  # type: ignore[arg-type]
    assert past.of(catalogue, "24h", NOW)[0] is None
    for minute in range(70):
        interest(mirror, 1, 3.5 if minute else 0.5)
        await past._refresh(NOW + 60 * minute)
        await past._refresh(NOW + 60 * minute + 15)
    assert len(redis.entries) == 61
    at, slots = past.of(catalogue, "24h", NOW + 69 * 60)
    assert at == NOW + 9 * 60
    assert catalogue.ids[slots].tolist() == [5, 4, 1, 3, 2]
    soon = TrendingPast(redis, mirror)  # type: ignore[arg-type]
    await soon._load()
    assert soon.of(catalogue, "24h", NOW + 9 * 60 + 60)[0] == NOW + 9 * 60
    assert trending_past._lists(redis.entries[0])[1] == array("Q", [5, 4, 1, 3, 2])
    assert np.array_equal(soon.of(catalogue, "24h", NOW + 69 * 60)[1], slots)
