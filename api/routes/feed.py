"""`GET /api/v1/feed` and `/feed/category`: a page for a user, or for the session of a guest."""

import time
from typing import Any

from msgspec import UNSET
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import ContractError
from schemas.messages import Page
from schemas.parameters import MOODS, MOST_EXCLUDED, CategoryFeedParameters, FeedParameters
from schemas.visits import digest

from .. import experiments, matching, requests
from ..candidate_pipeline import CandidatePipeline, Slate
from ..items import item
from ..ratings import predicted_ratings
from ..responses import json_response
from ..serving import Serving, serving_of
from ..stages import Query


async def feed(request: Request) -> Response:
    """Answers for every username; one that nobody has met gets a cold-start feed."""
    return await _answer(request, requests.parameters(request, FeedParameters))


async def feed_category(request: Request) -> Response:
    """The same for a project, which has to be named."""
    return await _answer(request, requests.parameters(request, CategoryFeedParameters))


async def _answer(request: Request, given: FeedParameters) -> Response:
    serving = serving_of(request)
    pipeline: CandidatePipeline = request.app.state.feed_pipeline
    query = _query(serving, given)
    await serving.visits.open(query, given.cursor)
    slate = await pipeline.run(query)
    next_cursor = serving.visits.keep(query, slate)
    page = Page(
        post=_explained(query, slate) if given.explain else _items(serving, query, slate),
        algorithm_used=slate.algorithm_used,
        page=query.page,
        page_size=query.page_size,
        total_count=slate.total_count,
        model_versions=slate.model_versions,
        degraded=slate.degraded + serving.mirror.degraded,
        recommendation_id=slate.recommendation_id,
        next_cursor=next_cursor,
        end=slate.end,
        matched={name: match.by for name, match in query.matches.items()} or UNSET,
    )
    if given.explain:
        page.explain = {
            "dropped": slate.dropped, "dropped_posts": slate.dropped_posts, "variant": query.variant,
        }  # fmt: skip
    response = json_response(page)
    response.background = BackgroundTask(pipeline.after, query, slate)
    return response


def _query(serving: Serving, given: FeedParameters) -> Query:
    """Raises ContractError for parameters that do not go together."""
    if given.username is None and given.session_id is None:
        raise ContractError(
            "username is required, 1 to 128 characters: ?username=…; a guest sends session_id instead", "username"
        )
    excluded = sorted({int(post_id) for post_id in given.exclude.split(",")}) if given.exclude else []
    if len(excluded) > MOST_EXCLUDED:
        raise ContractError(f"exclude has {len(excluded)} ids; allowed: up to {MOST_EXCLUDED}", "exclude")
    if given.cursor is not None and given.page != 1:
        raise ContractError("page and cursor both say where to begin; allowed: one of them", "cursor")
    catalogue, now = serving.mirror.catalogue, time.time()
    reader = given.username or given.session_id or ""
    variant, changes = experiments.assign(serving.experiments, reader, now)
    return Query(
        username=given.username or "",
        now=now,
        catalogue=catalogue,
        category=matching.category(catalogue, given.category) if given.category else None,
        project=matching.project(catalogue, given.project_code) if given.project_code else None,
        mood=MOODS.index(given.mood) if given.mood else None,
        exclude=excluded,
        max_age_days=given.max_age_days,
        diversity=(changes.diversity or 0.0) if given.diversity is None else given.diversity,
        seed=given.seed,
        explain=given.explain,
        page=given.page,
        page_size=requests.page_size(given.page_size, serving.settings),
        session_id=given.session_id,
        asked=digest(
            given.session_id,
            given.category,
            given.project_code,
            given.mood,
            excluded,
            given.diversity,
            given.seed,
            given.max_age_days,
        ),
        variant=variant,
        changes=changes,
        vectors=serving.models.vectors,
        online=serving.factors.of(catalogue),
    )


def _items(serving: Serving, query: Query, slate: Slate) -> Any:
    """What is the same for all is encoded once; a post that this user reacted to hardly ever comes again."""
    # The pipeline keeps servable posts only, and those have a row.
    posts, slots = query.catalogue.posts, slate.slots.tolist()
    if not slate.reactions:
        return serving.posts.of(posts, slots)
    return [item(post, slate.reactions) for slot in slots if (post := posts[slot]) is not None]


def _explained(query: Query, slate: Slate) -> list[dict[str, Any]]:
    items, reactions = [], query.state.reactions
    ratings = predicted_ratings(query, slate.slots)
    scores = slate.rows() if slate.rows is not None else []
    for place, slot in enumerate(slate.slots.tolist()):
        # The pipeline keeps servable posts only, and those have a row.
        if (post := query.catalogue.posts[slot]) is not None:
            shown = item(post, reactions)
            shares = zip(MOODS, query.catalogue.moods[slot].tolist(), strict=True)
            moods = {mood: round(share, 3) for mood, share in shares if share}
            shown["explain"] = {
                "sources": scores[place], "score": float(slate.scores[place]), "moods": moods,
                **slate.explained[place],
            }  # fmt: skip
            if slot in ratings:
                shown["explain"]["predicted_rating"] = ratings[slot]
            if slot in query.rules:
                shown["explain"]["rules"] = query.rules[slot]
            if slot in query.heads:
                shown["explain"]["ranker"] = query.heads[slot]
            items.append(shown)
    return items
