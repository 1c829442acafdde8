"""What feeds are compared with: a route that does nothing, and one that reads one key of Redis.

    python benchmarks/yardstick_routes.py PORT REDIS_URL KEY

Starlette under uvicorn as the API runs, in one process.
"""

import sys

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = b'{"status":"success"}'


def main() -> None:
    port, url, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    redis = Redis.from_url(url)

    async def nothing(request: Request) -> Response:
        return Response(BODY, media_type="application/json")

    async def one_read(request: Request) -> Response:
        await redis.get(key)
        return Response(BODY, media_type="application/json")

    app = Starlette(routes=[Route("/nothing", nothing), Route("/one-read", one_read)])
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", ws="none", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
