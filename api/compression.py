"""Large answers go compressed, as the client says that it takes them: brotli, else gzip."""

import asyncio
import gzip
from functools import lru_cache

import brotli
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST_BYTES = 8_192
"""A feed of 20 small posts, 5 KB, goes as it is."""
IN_THREAD_BYTES = 262_144
"""From here on, 4 ms with brotli, it would hold up other requests."""
GZIP_LEVEL, BROTLI_QUALITY = 4, 3
"""Of 32 KB of posts they leave 7.0 KB in 1.7 ms and 6.5 KB in .5 ms; more quality takes twice the time for 1 % less."""
TEXT = ("text/", "application/json", "application/javascript", "image/svg")
ENCODINGS = ("br", "gzip")
"""In our order of preference, among those that the client likes as much."""


class Compression:
    """Compresses answers that are whole and text. Streams go as they are: an event would wait in the compressor."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start: Message | None = None

        async def compressing(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                headers, body = MutableHeaders(scope=start), message.get("body", b"")
                whole = not message.get("more_body") and "content-encoding" not in headers
                if whole and len(body) >= LEAST_BYTES and headers.get("content-type", "").startswith(TEXT):
                    headers.add_vary_header("Accept-Encoding")
                    accepted = next((value for name, value in scope["headers"] if name == b"accept-encoding"), b"")
                    if (encoding := chosen(accepted.decode("latin-1"))) is not None:
                        body = await _compressed(body, encoding)
                        headers["Content-Encoding"], headers["Content-Length"] = encoding, str(len(body))
                        message = {**message, "body": body}
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, compressing)


@lru_cache(256)
def chosen(accepted: str) -> str | None:
    """The encoding that an Accept-Encoding header likes best (RFC 9110, 12.5.3); None: as it is.

    >>> chosen("gzip, deflate, br"), chosen("gzip;q=1, br;q=0.5"), chosen("br;q=0, *"), chosen("identity")
    ('br', 'gzip', 'gzip', None)
    """
    liked: dict[str, float] = {}
    for part in accepted.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        liked[name] = next((_weight(each) for each in parameters if each.startswith("q=")), 1.0)
    otherwise = liked.get("*", 0.0)
    plain = liked.get("identity", 0.0)  # what is not named is taken, but nobody asks for it
    best = max(ENCODINGS, key=lambda name: liked.get(name, otherwise))  # the first of equals
    weight = liked.get(best, otherwise)
    return best if weight > 0 and weight >= plain else None


def _weight(parameter: str) -> float:
    try:
        return float(parameter[2:])
    except ValueError:
        return 0.0


async def _compressed(body: bytes, encoding: str) -> bytes:
    if len(body) >= IN_THREAD_BYTES:
        return await asyncio.to_thread(_compress, body, encoding)
    return _compress(body, encoding)


def _compress(body: bytes, encoding: str) -> bytes:
    if encoding == "br":
        return bytes(brotli.compress(body, quality=BROTLI_QUALITY))
    return gzip.compress(body, GZIP_LEVEL, mtime=0)
