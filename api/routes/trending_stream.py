"""`GET /api/v1/trending/stream`: server-sent events, a snapshot and then what changes."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from schemas.parameters import StreamParameters

from .. import requests
from ..serving import serving_of
from ..trending_stream import Channel, Listener, TrendingStream

SEND_SECONDS = 30.0
"""A listener whose connection takes nothing for so long is gone; its queue was closed long before."""


async def trending_stream(request: Request) -> Response:
    """Goes on until the client leaves. `Last-Event-ID`: what came after that event, in place of a snapshot."""
    serving = serving_of(request)
    given = requests.parameters(request, StreamParameters)
    size = requests.page_size(given.page_size, serving.settings)
    channel = Channel(given.window, given.category, size)
    stream = serving.trending_stream
    return EventStream(stream, channel, stream.listen(channel, request.headers.get("last-event-id")))


class EventStream(Response):
    """Sends what a listener gets, and takes it from the list when the client left."""

    def __init__(self, stream: TrendingStream, channel: Channel, listener: Listener) -> None:
        super().__init__(None, 200, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, "text/event-stream")
        del self.headers["content-length"]
        self._stream = stream
        self._channel = channel
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(self._until_left(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for event in self._listener.read():
                async with asyncio.timeout(SEND_SECONDS):
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            pass  # nobody reads any more: ending the request closes the connection
        finally:
            leaving.cancel()
            self._stream.leave(self._channel, self._listener)

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._listener.close()
