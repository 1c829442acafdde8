"""`GET /api/v1/trending`: what gathers interactions now."""

import time

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from schemas.messages import Page
from schemas.parameters import TrendingParameters
from schemas.visits import digest

from .. import matching, requests
from ..candidate_pipeline import CandidatePipeline
from ..responses import tagged_response
from ..serving import serving_of
from ..stages import Query
from ..trending import listed, moves, ranked


async def trending(request: Request) -> Response:
    """Posts by decayed sum of strengths; `window` names the half-life. Each item says its score, its rank, and how many
    places it gained within the last hour."""
    serving = serving_of(request)
    pipeline: CandidatePipeline = request.app.state.list_pipeline
    given = requests.parameters(request, TrendingParameters)
    catalogue = serving.mirror.catalogue
    query = Query(
        username=given.username or "",
        now=time.time(),
        catalogue=catalogue,
        category=matching.category(catalogue, given.category) if given.category else None,
        project=matching.project(catalogue, given.project_code) if given.project_code else None,
        page_size=requests.page_size(given.page_size, serving.settings),
    )
    kept, degraded = await pipeline.allowed(query)
    top, count = ranked(query, kept, given.window, query.page_size)
    slots = top.tolist()
    since, past = serving.trending_past.of(catalogue, given.window, query.now)
    moved = moves(query, [*query.matches.values()], past, slots)
    page = Page(
        post=[],
        algorithm_used=f"trending:{given.window}",
        page=1,
        page_size=query.page_size,
        total_count=count,
        model_versions=serving.models.versions,
        degraded=degraded + serving.mirror.degraded,
        moved_since=since,
        matched={name: match.by for name, match in query.matches.items()} or UNSET,
    )

    def content() -> Page:
        page.post = listed(query, given.window, slots, moved)
        return page

    # Scores decay with every moment: the order and what is around it are what a reader would notice.
    rows = [hash(catalogue.posts.encoded(slot)) for slot in slots]
    mine = sorted(query.state.reactions) if given.username else []
    noticed = digest(rows, moved, mine, given.window, query.page_size, page.matched, page.degraded, page.model_versions)
    return tagged_response(request, noticed.hex(), content)
