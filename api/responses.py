"""Answers as JSON, and errors in their one shape."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from msgspec import UNSET, UnsetType
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from schemas.errors import ContractError, ServiceUnavailable
from schemas.messages import EntryResult, ErrorAnswer, ErrorDetail

RETRY_AFTER_SECONDS = 2

CODES = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    409: "conflict", 413: "too_large", 503: "unavailable",
}  # fmt: skip
_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()


class ApiError(Exception):
    """Ends a request with an error answer. Routes raise it; `error_response` writes it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        field: str | None = None,
        event_ids: list[str] | UnsetType = UNSET,
        results: list[EntryResult] | UnsetType = UNSET,
        run_id: str | UnsetType = UNSET,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field
        self.event_ids = event_ids
        self.results = results
        self.run_id = run_id


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encode(content), status, headers, "application/json")


def tagged_response(request: Request, tag: str, content: Callable[[], Any]) -> Response:
    """200 with an ETag, or 304 when the client has what the tag stands for; then the content is not even made.

    The tag is weak: it stands for what a reader would notice, not for each byte.
    """
    etag = f'W/"{tag}"'
    known = {each.strip() for each in request.headers.get("if-none-match", "").split(",")}
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    return Response(None, 304, headers) if etag in known else json_response(content(), 200, headers)


async def error_response(request: Request, error: Exception) -> Response:
    """The answer to any exception that ends a request."""
    request_id = str(request.scope.get("request_id", ""))
    match error:
        case ApiError():
            failure = error
        case ContractError():
            failure = ApiError(400, str(error), field=error.field or None)
        case ServiceUnavailable():
            failure = ApiError(503, str(error))
        case HTTPException(status_code=404):
            failure = ApiError(404, f"There is nothing at {request.url.path}.")
        case HTTPException(status_code=405):
            failure = ApiError(405, f"{request.url.path} does not take {request.method}.")
        case ClientDisconnect():
            failure = ApiError(400, "The request ended before its body did.")
        case HTTPException():
            failure = ApiError(error.status_code, error.detail)
        case _:
            _log.error("request failed", path=request.url.path, request_id=request_id, exc_info=error)
            failure = ApiError(500, "Something went wrong here; the log has it under this request_id.")
    answer = ErrorAnswer(
        error=ErrorDetail(
            code=CODES.get(failure.status, "internal" if failure.status >= 500 else "bad_request"),
            message=failure.message,
            field=failure.field,
        ),
        request_id=request_id,
        event_ids=failure.event_ids,
        results=failure.results,
        run_id=failure.run_id,
    )
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if failure.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if failure.status == 500:
        # Starlette answers a 500 outside of our middleware, which otherwise adds this to every answer.
        headers["X-Request-ID"] = request_id
    return json_response(answer, failure.status, headers)
