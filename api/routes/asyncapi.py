"""`GET /asyncapi`: what may be sent to Kafka and read there, as an AsyncAPI 3 document."""

from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from schemas import contract


async def asyncapi(request: Request) -> Response:
    return Response(_document(), media_type="application/json")


@cache
def _document() -> bytes:
    return contract.documents()["asyncapi.json"]
