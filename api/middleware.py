"""Around every request, in plain ASGI: a request id, and the time it took."""

import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .ids import new_id
from .metrics import Metrics

_HEADER = b"x-request-id"
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class RequestContext:
    """Gives each request an id (`scope["request_id"]`, header X-Request-ID) and measures it by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offered = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        request_id = scope["request_id"] = offered.decode() if _SANE_ID.fullmatch(offered) else new_id()
        started = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                others = [header for header in message.get("headers", ()) if header[0] != _HEADER]
                message["headers"] = [*others, (_HEADER, request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            # The route's template, so that the number of label values is bounded.
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.request(route, status).observe(time.perf_counter() - started)
