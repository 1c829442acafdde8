"""Reading a request: parameters and body, refused with the field's name and what is allowed."""

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from schemas import audit
from schemas.errors import ContractError
from schemas.parameters import read_parameters
from schemas.settings import Settings

from .responses import ApiError

MAX_BODY_BYTES = 1 << 20
MAX_ENTRIES = 1_000


T = TypeVar("T", bound=msgspec.Struct)


def parameters(request: Request, kind: type[T]) -> T:
    """The parameters of the address. Raises ContractError: the name and what is allowed."""
    # As Starlette reads them, without the three containers that it puts them into: 2 µs and not 4.
    given = dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
    return read_parameters(kind, given)


def page_size(given: int | None, settings: Settings) -> int:
    """Up to MAX_RECOMMENDATIONS; 20 when absent, or less where that is more than allowed. Raises ContractError."""
    most = settings.max_recommendations
    if given is not None and given > most:
        raise ContractError(f"page_size is {given}; allowed: a whole number from 1 to {most}", "page_size")
    return given or min(20, most)


def post_id(request: Request) -> int:
    """The post id of the path. Raises ApiError 404 for what can't be one."""
    value = request.path_params["post_id"]
    if not (value.isascii() and value.isdigit() and len(value) <= 16):
        raise ApiError(404, f"There is no post {value[:40]!r}: a post id is a whole number from 1.", field="post_id")
    return int(value)


def caller(request: Request) -> str:
    """Who asks, for the audit log."""
    return audit.caller(request.client.host if request.client else None)


async def body(request: Request) -> bytes:
    """The whole body. Raises ApiError 413 above MAX_BODY_BYTES, without reading further."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise ApiError(413, f"The body is larger than {MAX_BODY_BYTES} bytes; send it in parts.")
        chunks.append(chunk)
    return b"".join(chunks)
