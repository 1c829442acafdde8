"""`GET /`: the web page, one file without outside addresses."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse

PAGE = Path(__file__).parents[1] / "page" / "index.html"


async def page(request: Request) -> FileResponse:
    return FileResponse(PAGE, headers={"Cache-Control": "no-cache"})
