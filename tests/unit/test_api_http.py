"""What surrounds answers: tags, compression, other origins."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from api.app import create_app
from api.compression import Compression
from api.ids import new_id
from api.metrics import Metrics
from api.middleware import RequestContext
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


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("BR ; Q=0.8, gzip;q=0.8", "br"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("*", "br"),
        ("br;q=0, *;q=0.1", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.2, gzip;q=0.5", "gzip"),
        ("br;q=0, gzip;q=0, *", None),
        ("gzip;q=none", None),
        ("deflate", None),
        ("", None),
    ],
)
async def test_large_answers_are_compressed_as_the_client_likes_it_best(accepted: str, encoding: str | None) -> None:
    app = create_app(Settings(_env_file=None, **ADDRESSES))
    async with client_of(app) as client:
        large = await client.get("/openapi.json", headers={"Accept-Encoding": accepted})
        plain = await client.get("/openapi.json", headers={"Accept-Encoding": "identity"})
        small = await client.get("/health/live", headers={"Accept-Encoding": accepted})
    assert large.headers.get("Content-Encoding") == encoding
    assert large.content == plain.content
    assert {answer.headers["Vary"] for answer in (large, plain)} == {"Accept-Encoding"}
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in small.headers
    if encoding is not None:
        assert int(large.headers["Content-Length"]) < len(plain.content) / 3


async def test_streams_pictures_and_what_is_compressed_already_go_as_they_are() -> None:
    async def many(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"event " * 5_000
            yield b"event " * 5_000

        return StreamingResponse(parts(), media_type="text/event-stream")

    async def picture(request: Request) -> Response:
        return Response(b"a" * 20_000, media_type="image/png")

    async def compressed(request: Request) -> Response:
        return Response(gzip.compress(b"b" * 9_000_000), headers={"Content-Encoding": "gzip"}, media_type="text/plain")

    async def huge(request: Request) -> Response:
        return Response(b"c" * 300_000, media_type="text/plain")

    routes = [Route("/many", many), Route("/picture", picture), Route("/compressed", compressed), Route("/huge", huge)]
    async with client_of(Starlette(routes=routes, middleware=[Middleware(Compression)])) as client:
        answers = {route.path: await client.get(route.path, headers={"Accept-Encoding": "br"}) for route in routes}
    assert {path: answer.headers.get("Content-Encoding") for path, answer in answers.items()} == {
        "/many": None, "/picture": None, "/compressed": "gzip", "/huge": "br",
    }  # fmt: skip
    assert answers["/compressed"].content == b"b" * 9_000_000
    assert answers["/many"].content == b"event " * 10_000
    assert answers["/huge"].content == b"c" * 300_000


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


def test_ids_are_distinct_also_beyond_those_that_are_drawn_at_once() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert len({*ids}) == 1_000
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)


async def test_each_answer_has_one_request_id_and_is_counted_by_route_and_status() -> None:
    async def known(request: Request) -> Response:
        return Response(headers={"X-Request-ID": "the route's"})

    metrics = Metrics()
    app = RequestContext(Starlette(routes=[Route("/known/{name}", known)]), metrics)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for path, headers in (("/known/a", {}), ("/known/b", {"X-Request-ID": "mine"}), ("/unknown", {})):
            found = (await client.get(path, headers=headers)).headers.get_list("X-Request-ID")
            assert len(found) == 1
            assert found[0] == "mine" or len(found[0]) == 32
    told = metrics.exposition([], {}).decode()
    assert 'reelstream_request_seconds_count{route="/known/{name}",status="200"} 2.0' in told
    assert 'reelstream_request_seconds_count{route="other",status="404"} 1.0' in told
