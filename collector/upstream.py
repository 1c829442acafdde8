"""The external content API over HTTP: pages of rows, asked for again while it may yet answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import msgspec
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from schemas.errors import ReelstreamError, SettingsError
from schemas.settings import Settings

from .kinds import Kind

ATTEMPTS = 6
PAGE_SECONDS = 90.0
"""From the request to the last byte: a page of 1,000 posts is 5 MB."""
MOST_BYTES = 64 << 20
MOST_RETRY_AFTER = 120.0
"""Whoever asks for a longer pause than this many seconds ends the run; the next one goes on at that page."""
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_LIMITS = httpx.Limits(max_connections=4, max_keepalive_connections=4)
_backoff = wait_random_exponential(multiplier=0.25, max=20)
log = structlog.get_logger()


class UpstreamError(ReelstreamError):
    """The external API did not answer as it should; the message says what to do."""


class _Transient(UpstreamError):
    """It may answer the same request later. retry_after: the pause it asked for in seconds, or None."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Page(NamedTuple):
    """short: fewer rows than there were asked for, so upstream has no more."""

    rows: list[msgspec.Raw]
    short: bool


class _Envelope(msgspec.Struct):
    """`post` for `posts` has been seen."""

    status: str = "success"
    max_page_size: int | None = None
    posts: list[msgspec.Raw] | None = None
    post: list[msgspec.Raw] | None = None
    users: list[msgspec.Raw] | None = None


_envelope = msgspec.json.Decoder(_Envelope)


class Upstream:
    """Connections are pooled, and kept from page to page."""

    def __init__(self, client: httpx.AsyncClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings) -> AsyncIterator["Upstream"]:
        async with httpx.AsyncClient(
            base_url=settings.api_base_url, timeout=_TIMEOUT, limits=_LIMITS, follow_redirects=False
        ) as client:
            yield cls(client, settings)

    async def page(self, kind: Kind, page: int, page_size: int) -> Page:
        """One page, from 1. Raises UpstreamError when it was refused, or ATTEMPTS times not answered."""
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_Transient), stop=stop_after_attempt(ATTEMPTS), wait=_pause, reraise=True,
            before_sleep=lambda state: _tell(kind, page, state),
        )  # fmt: skip
        return await attempts(self._page, kind, page, page_size)

    async def _page(self, kind: Kind, page: int, page_size: int) -> Page:
        parameters, headers = credentials(kind, self._settings)
        where = f"{self._settings.api_base_url}{kind.path}, page {page}"
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                status, answered, body = await self._get(
                    kind.path, {"page": page, "page_size": page_size, **parameters}, headers
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise _Transient(f"{where} did not answer ({type(error).__name__}). Is API_BASE_URL right?") from None
        if 300 <= status < 400 or status in (401, 403):
            raise UpstreamError(
                f"{where} answered {status}: unauthorised. Check {' and '.join(_SECRETS[bool(parameters)])}."
            )
        if status == 429 or status >= 500:
            raise _Transient(f"{where} answered {status}.", _seconds(answered.get("retry-after")))
        if status != 200:
            raise UpstreamError(f"{where} answered {status}.")
        try:
            envelope = _envelope.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise _Transient(f"{where} answered what is no page of rows.") from None
        rows = envelope.users if kind.key == "users" else envelope.posts if envelope.post is None else envelope.post
        if rows is None or envelope.status != "success":
            raise _Transient(f"{where} answered without rows (status {envelope.status[:40]!r}).")
        return Page(rows, len(rows) < (envelope.max_page_size or page_size))

    async def _get(
        self, path: str, parameters: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, httpx.Headers, bytes]:
        async with self._client.stream("GET", path, params=parameters, headers=headers) as answer:
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise UpstreamError(f"A page of {path} has more than {MOST_BYTES >> 20} MB: ask for smaller pages.")
            return answer.status_code, answer.headers, bytes(body)


_SECRETS = {True: ("RESONANCE_ALGORITHM",), False: ("FLIC_TOKEN",)}


def credentials(kind: Kind, settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """Query parameters and headers that upstream wants. Raises SettingsError for one that is not set."""
    wanted = settings.resonance_algorithm if kind.interaction else settings.flic_token
    if wanted is None:
        (name,) = _SECRETS[kind.interaction is not None]
        raise SettingsError(f"{name} is not set: {kind.name} can't be collected without it.")
    secret = wanted.get_secret_value()
    return ({"resonance_algorithm": secret}, {}) if kind.interaction else ({}, {"Flic-Token": secret})


def _pause(state: RetryCallState) -> float:
    """Back-off with jitter, and no less than what upstream asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, _Transient) else None
    return max(asked or 0.0, 0.0) + _backoff(state)


def _tell(kind: Kind, page: int, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("asking again", kind=kind.name, page=page, attempt=state.attempt_number, error=str(error))


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; a date, which nobody sends here, counts as none. Raises UpstreamError for a long one."""
    if header is None or not (header.isascii() and header.isdigit()):
        return None
    seconds = float(header)
    if seconds > MOST_RETRY_AFTER:
        raise UpstreamError(f"Upstream asks for a pause of {seconds:.0f} s. Collect again then: it goes on here.")
    return seconds
