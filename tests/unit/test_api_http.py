"""What surrounds answers: tags, compression, other origins."""

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.app import create_app
from api.responses import tagged_response
from schemas.errors import SettingsError
from schemas.settings import Settings

ADDRESSES: dict[str, Any] = {"redis_url": "redis://127.0.0.1:1/0", "kafka_bootstrap_servers": "127.0.0.1:1"}


def client_of(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_who_has_what_a_tag_stands_for_gets_nothing_and_nothing_is_made() -> None:
    made: list[int] = []

    async def answer(request: Request) -> Response:
        return tagged_response(request, "a1", lambda: made.append(1) or {"n": 1})  # type: ignore[func-returns-value]

    async with client_of(Starlette(routes=[Route("/", answer)])) as client:
        first = await client.get("/")
        again = await client.get("/", headers={"If-None-Match": f'"x", {first.headers["ETag"]}'})
        other = await client.get("/", headers={"If-None-Match": 'W/"b2"'})
    assert (first.status_code, first.json(), first.headers["ETag"]) == (200, {"n": 1}, 'W/"a1"')
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", 'W/"a1"')
    assert other.status_code == 200
    assert made == [1, 1]


async def test_large_answers_are_compressed_and_small_ones_are_not() -> None:
    app = create_app(Settings(_env_file=None, **ADDRESSES))
    async with client_of(app) as client:
        large, small = await client.get("/openapi.json"), await client.get("/health/live")
        plain = await client.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert large.headers["Content-Encoding"] == "gzip"
    assert large.content == plain.content
    assert int(large.headers["Content-Length"]) < len(plain.content) / 3
    assert "Content-Encoding" not in small.headers


@pytest.mark.parametrize(
    ("origins", "allowed"), [(None, None), ("https://a.example, https://b.example", "https://b.example")]
)
async def test_pages_of_other_origins_may_call_where_the_setting_names_them(
    origins: str | None, allowed: str | None
) -> None:
    app = create_app(Settings(_env_file=None, cors_origins=origins, **ADDRESSES))
    async with client_of(app) as client:
        answer = await client.get("/health/live", headers={"Origin": "https://b.example"})
        stranger = await client.get("/health/live", headers={"Origin": "https://c.example"})
    assert answer.headers.get("Access-Control-Allow-Origin") == allowed
    assert "Access-Control-Allow-Origin" not in stranger.headers
    assert answer.headers["X-Request-ID"]


def test_an_origin_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example/path")
    with pytest.raises(SettingsError, match="CORS_ORIGINS"):
        Settings.load()
