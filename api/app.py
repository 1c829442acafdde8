"""The HTTP API: routes and what surrounds them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from schemas.errors import ReelstreamError
from schemas.settings import Settings

from .compiled import compile_all
from .compression import Compression
from .memory import keep_code_away
from .metrics import Metrics
from .middleware import RequestContext
from .pipelines import feed_pipeline, list_pipeline
from .responses import ApiError, error_response
from .routes.asyncapi import asyncapi
from .routes.collect import collect, collection_status
from .routes.docs import asset, docs, openapi, redoc
from .routes.feed import feed, feed_category
from .routes.health import live, ready
from .routes.interactions import post_interaction, post_interactions
from .routes.metrics import metrics
from .routes.page import page
from .routes.posts import delete_post, get_post, post_posts
from .routes.similar import similar
from .routes.trending import trending
from .routes.trending_stream import trending_stream
from .routes.users import delete_user, post_users
from .serving import Serving, cancel

ROUTES = [
    Route("/", page),
    Route("/api/v1/feed", feed),
    Route("/api/v1/feed/category", feed_category),
    Route("/api/v1/trending", trending),
    Route("/api/v1/trending/stream", trending_stream),
    Route("/api/v1/similar/{post_id}", similar),
    Route("/api/v1/interaction", post_interaction, methods=["POST"]),
    Route("/api/v1/interactions", post_interactions, methods=["POST"]),
    Route("/api/v1/posts", post_posts, methods=["POST"]),
    Route("/api/v1/posts/{post_id}", get_post, methods=["GET"]),
    Route("/api/v1/posts/{post_id}", delete_post, methods=["DELETE"]),
    Route("/api/v1/users", post_users, methods=["POST"]),
    Route("/api/v1/users/{username}", delete_user, methods=["DELETE"]),
    Route("/api/v1/collect/{kind}", collect, methods=["POST"]),
    Route("/api/v1/collection-status", collection_status),
    Route("/asyncapi", asyncapi),
    Route("/health/live", live),
    Route("/health/ready", ready),
    Route("/metrics", metrics),
    Route("/openapi.json", openapi),
    Route("/docs", docs),
    Route("/redoc", redoc),
    Route("/assets/{name}", asset),
]


def _middleware(settings: Settings, collected: Metrics) -> list[Middleware]:
    """The first is the outermost."""
    layers = [Middleware(RequestContext, metrics=collected)]
    if settings.cors_origins is not None:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=[origin.strip() for origin in settings.cors_origins.split(",")],
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Flic-Token", "If-None-Match", "Last-Event-ID",
                               "X-Request-ID"],
                expose_headers=["ETag", "Retry-After", "X-Request-ID"],
            )
        )  # fmt: skip
    return [*layers, Middleware(Compression)]


def create_app(settings: Settings) -> Starlette:
    """The application. Raises SettingsError for an address that is not set; connects to nothing before it runs."""
    collected = Metrics()
    serving = Serving(settings, collected)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with serving.running():
            await asyncio.to_thread(compile_all, settings)  # while the mirror loads
            kept_away = asyncio.create_task(keep_code_away())
            yield
            await cancel([kept_away])
            await app.state.feed_pipeline.close()

    app = Starlette(
        routes=ROUTES,
        middleware=_middleware(settings, collected),
        exception_handlers=dict.fromkeys(
            (ApiError, ReelstreamError, HTTPException, ClientDisconnect, Exception), error_response
        ),
        lifespan=lifespan,
    )
    app.state.serving = serving
    app.state.feed_pipeline = feed_pipeline(serving)
    app.state.list_pipeline = list_pipeline(serving)
    return app
