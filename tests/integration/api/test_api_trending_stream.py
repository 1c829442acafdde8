"""The trending stream through a live process: hundreds of listeners, coming back, and what leaves the list."""

import asyncio
import re
from typing import Any

import msgspec

LISTENERS = 500


class Listener:
    """A connection that reads events, as a browser does: 500 clients of a library would take the test's time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str, query: str = "", last: str = "") -> "Listener":
        host, _, port = address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        header = f"Last-Event-ID: {last}\r\n" if last else ""
        writer.write(f"GET /api/v1/trending/stream{query} HTTP/1.1\r\nHost: {host}\r\n{header}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0], head
        assert b"text/event-stream" in head
        return cls(reader, writer)

    async def event(self) -> tuple[str, str, dict[str, Any]]:
        """The next: kind, id, data."""
        text = await self._reader.readuntil(b"\n\n")
        while b"event: " not in text:
            text = await self._reader.readuntil(b"\n\n")
        found = re.search(rb"event: (\w+)\nid: (\S+)\ndata: (.*)\n\n", text)
        assert found is not None, text
        return found[1].decode(), found[2].decode(), msgspec.json.decode(found[3])

    def close(self) -> None:
        self._writer.close()


async def test_five_hundred_listeners_get_the_list_and_its_changes_and_one_comes_back(
    clients: tuple[Any, ...], addresses: tuple[str, str], many: tuple[str, Any]
) -> None:
    query = "?page_size=5&category=solo"
    listeners = await asyncio.gather(*(Listener.open(addresses[0], query) for _ in range(LISTENERS)))
    first = await asyncio.gather(*(listener.event() for listener in listeners))
    assert {kind for kind, _, _ in first} == {"snapshot"}
    assert len({event_id for _, event_id, _ in first}) == 1
    shown = [post["id"] for post in first[0][2]["post"]]
    assert len(shown) == 5
    newcomer = next(post_id for post_id in range(201, 260, 2) if post_id not in shown)
    many[1].counts(newcomer, 1e12)
    changes = await asyncio.gather(*(listener.event() for listener in listeners))
    for kind, _, data in changes:
        assert kind == "change"
        assert [(post["id"], post["trending"]["rank"]) for post in data["entered"]] == [(newcomer, 1)]
        assert data["left"] == [shown[-1]]
    back = await Listener.open(addresses[0], query, last=first[0][1])
    assert await back.event() == changes[0]
    other = await Listener.open(addresses[1], query, last=changes[0][1])
    assert (await other.event())[0] == "snapshot"
    many[1].delete(newcomer)
    left = await listeners[0].event()
    assert left[2]["left"] == [newcomer]
    many[1].moody_post(newcomer)
    many[1].counts(newcomer, 1.0)
    for listener in (*listeners, back, other):
        listener.close()


async def test_a_parameter_that_is_not_allowed_is_named(clients: tuple[Any, ...]) -> None:
    answer = await clients[0].get("/api/v1/trending/stream?window=2h")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "window")


async def test_trending_says_how_far_each_post_moved_and_since_when(clients: tuple[Any, ...], until: Any) -> None:
    async def sampled() -> bool:
        page = (await clients[0].get("/api/v1/trending?page_size=5&project_code=walk")).json()
        assert page["matched"] == {"project_code": "topic"}
        return page["moved_since"] is not None and any(post["trending"]["moved"] is not None for post in page["post"])

    await until(sampled)


async def test_a_list_and_a_post_that_did_not_change_are_not_sent_again(
    clients: tuple[Any, ...], many: tuple[str, Any], until: Any
) -> None:
    for path in ("/api/v1/trending?category=solo&page_size=3", "/api/v1/posts/59"):
        known = (await clients[0].get(path)).headers["ETag"]
        assert (await clients[0].get(path, headers={"If-None-Match": known})).status_code == 304
        many[1].counts(59, 1e13 if "trending" in path else 2e13)

        async def changed(path: str = path, known: str = known) -> bool:
            answer = await clients[0].get(path, headers={"If-None-Match": known})
            return bool(answer.status_code == 200)

        await until(changed)
    many[1].counts(59, 1.0)
