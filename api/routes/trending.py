"""`GET /api/v1/trending`: what gathers interactions now."""

import time

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from online_models.decayed_counters import decay_to
from schemas.messages import Page
from schemas.trending import DEFAULT_WINDOW, WINDOWS

from .. import requests
from ..items import category_of, item
from ..responses import json_response
from ..serving import serving_of


async def trending(request: Request) -> Response:
    """Posts by decayed sum of strengths; `window` names the half-life. Each item says its score and rank."""
    serving = serving_of(request)
    catalogue = serving.mirror.catalogue
    window = requests.choice(request, "window", DEFAULT_WINDOW, WINDOWS)
    category = category_of(request, catalogue)
    page_size = requests.page_size(request, serving.settings)
    size = catalogue.size
    scores = decay_to(catalogue.decayed[:size], catalogue.at[:size], time.time())[:, list(WINDOWS).index(window)]
    shown = catalogue.servable[:size] & (scores > 0)
    if category is not None:
        shown &= catalogue.category[:size] == category
    slots = np.flatnonzero(shown)
    top = slots[np.lexsort((catalogue.ids[slots], -scores[slots]))][:page_size]
    posts = []
    for rank, slot in enumerate(top.tolist(), start=1):
        if (post := catalogue.posts[slot]) is not None:
            posts.append({**item(post), "trending": {"rank": rank, "score": float(scores[slot])}})
    return json_response(
        Page(
            post=posts,
            algorithm_used=f"trending:{window}",
            page=1,
            page_size=page_size,
            total_count=len(slots),
            model_versions=serving.models.versions,
            degraded=serving.mirror.degraded,
        )
    )
