"""`GET /metrics`, for Prometheus."""

import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from ..serving import serving_of
from ..workers import heartbeats

_log = structlog.get_logger()


async def metrics(request: Request) -> Response:
    """Our own measurements, and those of the workers as far as Redis answers."""
    serving = serving_of(request)
    try:
        workers = await heartbeats(serving.redis)
    except (RedisError, OSError) as error:
        _log.warning("metrics without workers: Redis does not answer", error=str(error))
        workers = []
    return Response(
        serving.metrics.exposition(workers, serving.models.versions), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )
