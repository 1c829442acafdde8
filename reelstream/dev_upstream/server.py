"""The stand-in as an ASGI application, without a framework: two modes on one path, paging, and faults.

Beside the paths of the external content API: `PUT /faults` with an array of faults (reelstream.dev_upstream.faults),
and `POST /rows` with `{"path", "add": [row], "change": [row], "remove": [id]}`, for whoever tests against the command.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from .faults import Fault, Faults
from .world import PATHS, TIMES, World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MOST_PAGE_SIZE = 1_000
_DEFAULT_PAGE_SIZE = 100


class Changes(msgspec.Struct, kw_only=True):
    """What becomes of the rows of a path. Rows of `change` take the place of those with their id."""

    path: str
    add: list[dict[str, Any]] = []
    change: list[dict[str, Any]] = []
    remove: list[int] = []


class Upstream:
    """The application. token, algorithm: what requests must carry. requests: path and page of each, as they came."""

    def __init__(self, world: World, token: str, algorithm: str) -> None:
        self.world = world
        self.faults = Faults()
        self.requests: list[tuple[str, int]] = []
        self._token = token
        self._algorithm = algorithm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        method, path = scope["method"], scope["path"]
        if (method, path) in (("PUT", "/faults"), ("POST", "/rows")):
            await self._control(path, receive, send)
        elif method != "GET" or path not in PATHS:
            await _answer(send, 404, {"status": "error", "message": f"nothing at {method} {path}"})
        else:
            await self._page(scope, path, send)

    async def _control(self, path: str, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        try:
            if path == "/faults":
                self.faults.put(msgspec.json.decode(body, type=list[Fault]))
            else:
                self._change(msgspec.json.decode(body, type=Changes))
        except (msgspec.MsgspecError, KeyError, StopIteration) as error:
            await _answer(send, 400, {"status": "error", "message": repr(error)})
            return
        await _answer(send, 200, {"status": "success"})

    def _change(self, changes: Changes) -> None:
        rows = self.world.rows[changes.path]
        for row in changes.change:
            rows[next(place for place, old in enumerate(rows) if old["id"] == row["id"])] = row
        for row_id in changes.remove:
            self.world.remove(changes.path, row_id)
        rows.extend(changes.add)
        rows.sort(key=lambda row: row["id"])

    async def _page(self, scope: Scope, path: str, send: Send) -> None:
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        page, size = _number(query, "page", 1), min(_number(query, "page_size", _DEFAULT_PAGE_SIZE), MOST_PAGE_SIZE)
        self.requests.append((path, page))
        fault = self.faults.take(path, page)
        kind = fault.kind if fault else ""
        if fault and kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault and kind == "status":
            extra = [] if fault.retry_after is None else [(b"retry-after", str(fault.retry_after).encode())]
            await _answer(send, fault.status, {"status": "error"}, extra)
            return
        rows = self._rows(scope, path, query)
        if rows is None or kind == "redirect":
            await _answer(send, 302, {}, [(b"location", b"/login")])
            return
        if kind == "wrong_mode":
            rows = self.world.rows["/posts/summary/get"]
        if kind == "repeated":
            page = max(page - 1, 1)
        found = rows[(page - 1) * size : page * size]
        found = [] if kind == "empty" else found[: len(found) // 2] if kind == "truncated" else found
        body = _envelope(path, page, size, found)
        if kind == "garbage":
            body = b"<html>upstream is being mended</html>"
        await _send(send, 200, body, cut=kind == "cut")

    def _rows(self, scope: Scope, path: str, query: dict[str, str]) -> list[dict[str, Any]] | None:
        """What a request may see: every row of interactions with the algorithm; None without a valid token."""
        if path in TIMES and secrets.compare_digest(query.get("resonance_algorithm", ""), self._algorithm):
            return self.world.rows[path]
        token = dict(scope["headers"]).get(b"flic-token", b"").decode("latin-1")
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return None
        return self.world.rows["/posts/summary/get" if path in TIMES else path]


def _envelope(path: str, page: int, size: int, rows: list[dict[str, Any]]) -> bytes:
    fields = {"status": "success", "message": "Fetched successfully", "page": page, "page_size": len(rows)}
    return msgspec.json.encode({**fields, "max_page_size": size, PATHS[path]: rows})


def _number(query: dict[str, str], name: str, default: int) -> int:
    value = query.get(name, "")
    return max(int(value), 1) if value.isascii() and value.isdigit() else default


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: Send, status: int, content: Any, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await _send(send, status, msgspec.json.encode(content), headers or [])


async def _send(
    send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None, *, cut: bool = False
) -> None:
    """cut: half of what was promised; the server then ends the connection."""
    sent = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    if cut:
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        raise ConnectionAbortedError("cut, as asked")
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
