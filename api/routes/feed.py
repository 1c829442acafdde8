"""`GET /api/v1/feed`: a page for a user."""

import time
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from schemas.messages import Page

from .. import requests
from ..candidate_pipeline import CandidatePipeline, Slate
from ..items import category_of, item
from ..responses import json_response
from ..serving import serving_of
from ..stages import Query

MOST_PAGES = 1_000_000


async def feed(request: Request) -> Response:
    """Answers for every username; one that nobody has met gets a cold-start feed."""
    serving = serving_of(request)
    pipeline: CandidatePipeline = request.app.state.feed_pipeline
    query = Query(
        username=requests.required_text(request, "username"),
        now=time.time(),
        catalogue=serving.mirror.catalogue,
        category=category_of(request, serving.mirror.catalogue),
        page=requests.integer(request, "page", 1, 1, MOST_PAGES),
        page_size=requests.page_size(request, serving.settings),
        session_id=requests.text(request, "session_id"),
        vectors=serving.models.vectors,
        online=serving.factors.of(serving.mirror.catalogue),
    )
    explain = requests.flag(request, "explain")
    slate = await pipeline.run(query)
    slate.model_versions = query.model_versions
    page = Page(
        post=_items(query, slate, explain),
        algorithm_used=slate.algorithm_used,
        page=query.page,
        page_size=query.page_size,
        total_count=slate.total_count,
        model_versions=slate.model_versions,
        degraded=slate.degraded + serving.mirror.degraded,
        recommendation_id=slate.recommendation_id,
    )
    if explain:
        page.explain = {"dropped": slate.dropped}
    response = json_response(page)
    response.background = BackgroundTask(pipeline.after, query, slate)
    return response


def _items(query: Query, slate: Slate, explain: bool) -> list[dict[str, Any]]:
    items, reactions = [], query.state.reactions
    for slot, score, sources in zip(slate.slots.tolist(), slate.scores.tolist(), slate.sources, strict=True):
        # The pipeline keeps servable posts only, and those have a row.
        if (post := query.catalogue.posts[slot]) is not None:
            shown = item(post, reactions)
            if explain:
                shown["explain"] = {"sources": sources, "score": score}
            items.append(shown)
    return items
