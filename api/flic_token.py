"""Who may start and watch collections: whoever has the token of the external API."""

import hmac

from starlette.requests import Request

from .responses import ApiError
from .serving import serving_of

HEADER = "Flic-Token"


def require_token(request: Request) -> None:
    """Raises ApiError: 401 without the header, 403 with a wrong one, or where FLIC_TOKEN is not set."""
    given, wanted = request.headers.get(HEADER), serving_of(request).settings.flic_token
    if given is None:
        raise ApiError(401, f"The header {HEADER} is missing: it has to hold the value of FLIC_TOKEN.")
    if wanted is None:
        raise ApiError(403, "Collecting is off here: set FLIC_TOKEN to the token of the external API.")
    if not hmac.compare_digest(given.encode(), wanted.get_secret_value().encode()):
        raise ApiError(403, f"The header {HEADER} does not hold the value of FLIC_TOKEN.")
