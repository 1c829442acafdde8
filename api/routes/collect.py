"""`POST /api/v1/collect/{kind}` and `GET /api/v1/collection-status`: what comes in from the external API."""

from starlette.requests import Request
from starlette.responses import Response

from collector.kinds import KINDS
from schemas.errors import SettingsError
from schemas.parameters import CollectParameters

from .. import requests
from ..flic_token import require_token
from ..responses import ApiError, json_response
from ..serving import serving_of


async def collect(request: Request) -> Response:
    """202 at once; the run goes on. `page`: where to begin, unless told where the last run ended early."""
    from collector.run import AlreadyRunning

    require_token(request)
    name = request.path_params["kind"]
    kind = KINDS.get(name)
    if kind is None:
        raise ApiError(404, f"There is nothing to collect called {name[:40]!r}; there are: {', '.join(KINDS)}.")
    asked = requests.parameters(request, CollectParameters)
    try:
        started = await serving_of(request).collections.start(
            kind, asked.page, asked.page_size, requests.caller(request)
        )
    except AlreadyRunning as error:
        raise ApiError(409, str(error), run_id=error.run_id) from None
    except SettingsError as error:
        raise ApiError(503, str(error)) from None
    return json_response(started, 202)


async def collection_status(request: Request) -> Response:
    """How each kind stands."""
    require_token(request)
    return json_response(await serving_of(request).collections.status())
