"""`/openapi.json`, and `/docs` (Swagger UI) and `/redoc` that show it: no address outside of this process."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from ..openapi import describe
from ..responses import ApiError
from ..serving import serving_of

_TYPES = {"js": "text/javascript", "css": "text/css"}
ASSETS = {
    "swagger-ui.js": "swagger_bundle.js", "swagger-ui.css": "swagger_style.css", "redoc.js": "redoc.js",
}  # fmt: skip
"""Name → file of the package offapi, which has Swagger UI (Apache-2.0) and ReDoc (MIT) as they were released."""
_HEADERS = {
    # The viewers name addresses of their makers for a badge and a logo: nothing but this process is asked.
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "script-src 'self' 'unsafe-inline'; worker-src blob:; font-src 'self' data:",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>reelstream API</title><link rel="icon" href="data:,">{head}</head>
<body style="margin:0">{body}</body></html>
"""
_SWAGGER = _PAGE.format(
    head='<link rel="stylesheet" href="/assets/swagger-ui.css"><script src="/assets/swagger-ui.js"></script>',
    body='<div id="docs"></div>'
    '<script>SwaggerUIBundle({url:"/openapi.json",dom_id:"#docs",validatorUrl:null})</script>',
)
_REDOC = _PAGE.format(
    head="", body='<redoc spec-url="/openapi.json"></redoc><script type="module" src="/assets/redoc.js"></script>'
)


async def openapi(request: Request) -> Response:
    """The description, OpenAPI 3.1."""
    return Response(_description(serving_of(request).settings.max_recommendations), media_type="application/json")


async def docs(request: Request) -> HTMLResponse:
    return HTMLResponse(_SWAGGER, headers=_HEADERS)


async def redoc(request: Request) -> HTMLResponse:
    return HTMLResponse(_REDOC, headers=_HEADERS)


async def asset(request: Request) -> FileResponse:
    """A file of a viewer."""
    name = request.path_params["name"]
    if name not in ASSETS:
        raise ApiError(404, f"There is nothing at {request.url.path}.")
    return FileResponse(
        _folder() / ASSETS[name],
        media_type=_TYPES[name.rpartition(".")[2]],
        headers={"Cache-Control": "public, max-age=86400"},
    )


@cache
def _description(most: int) -> bytes:
    return msgspec.json.encode(describe(most))


@cache
def _folder() -> Path:
    """Found without importing offapi, which would load all its files into memory, 20 MB."""
    spec = find_spec("offapi")
    assert spec is not None  # noqa: S101 - a dependency
    assert spec.submodule_search_locations is not None  # noqa: S101
    return Path(spec.submodule_search_locations[0])
