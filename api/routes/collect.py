"""`POST /api/v1/collect/{kind}` and `GET /api/v1/collection-status`: what comes in from the external API."""

from starlette.requests import Request
from starlette.responses import Response

from collector.kinds import KINDS
from schemas.errors import SettingsError

from .. import requests
from ..flic_token import require_token
from ..responses import ApiError, json_response
from ..serving import serving_of

MOST_PAGE_SIZE = 1_000
MOST_PAGE = 1_000_000


async def collect(request: Request) -> Response:
    """202 at once; the run goes on. `page`: where to begin, unless told where the last run ended early."""
    from collector.run import AlreadyRunning

    require_token(request)
    name = request.path_params["kind"]
    kind = KINDS.get(name)
    if kind is None:
        raise ApiError(404, f"There is nothing to collect called {name[:40]!r}; there are: {', '.join(KINDS)}.")
    page = requests.integer(request, "page", 0, 1, MOST_PAGE) or None
    page_size = requests.integer(request, "page_size", MOST_PAGE_SIZE, 1, MOST_PAGE_SIZE)
    try:
        started = await serving_of(request).collections.start(kind, page, page_size)
    except AlreadyRunning as error:
        raise ApiError(409, str(error), run_id=error.run_id) from None
    except SettingsError as error:
        raise ApiError(503, str(error)) from None
    return json_response(started, 202)


async def collection_status(request: Request) -> Response:
    """How each kind stands."""
    require_token(request)
    return json_response(await serving_of(request).collections.status())
