"""`GET /api/v1/similar/{post_id}`: what goes with a post."""

import time

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from online_models.co_visitation_scores import similarity
from schemas.messages import Page
from schemas.parameters import SimilarParameters

from .. import requests
from ..candidate_pipeline import CandidatePipeline
from ..catalogue import Catalogue
from ..items import item
from ..models import Models
from ..responses import ApiError, json_response
from ..serving import serving_of
from ..sources.graph import Graph
from ..stages import Mask, Query

Similar = list[tuple[int, float, str]]
"""Slot, score, source; best first."""
PERSONAL = 1.0
"""A post that is as near as can be to what the user met last counts as if it were twice as similar."""


async def similar(request: Request) -> Response:
    """Co-visitation neighbours, filled up with neighbours in the vectors of `svd`, then of `graph`, then of `content`,
    which a post has that nobody has met.

    SIMILARITY_THRESHOLD is relative: a post must be that share as similar as the best one of its source, because the
    absolute level of both similarities depends on how much was learnt. With `username`, what that user turned down is
    left out, what goes with their last posts as well moves up, and what they have seen comes last.
    """
    serving = serving_of(request)
    pipeline: CandidatePipeline = request.app.state.list_pipeline
    post_id = requests.post_id(request)
    given = requests.parameters(request, SimilarParameters)
    page_size = requests.page_size(given.page_size, serving.settings)
    catalogue, threshold = serving.mirror.catalogue, serving.settings.similarity_threshold
    if not catalogue.has_row(post_id):
        raise ApiError(404, f"There is no post {post_id}.", field="post_id")
    query = Query(given.username or "", time.time(), catalogue)
    kept, degraded = await pipeline.allowed(query)
    slot = catalogue.slots[post_id]
    kept[slot] = False
    found = _co_visitation(query, slot, kept, threshold)
    for model in ("svd", "graph", "content"):
        if len(found) < page_size:
            met = {slot for slot, _, _ in found}
            others = _in_vectors(serving.models, model, query, slot, kept, threshold)
            found += [entry for entry in others if entry[0] not in met]
    found = _for_reader(query, found)
    posts = []
    for near, score, source in found[:page_size]:
        if (post := catalogue.posts[near]) is not None:
            posts.append({**item(post, query.state.reactions), "similar": {"score": score, "source": source}})
    return json_response(
        Page(
            post=posts,
            algorithm_used="+".join(dict.fromkeys(source for _, _, source in found[:page_size])),
            page=1,
            page_size=page_size,
            total_count=len(found),
            model_versions=serving.models.versions,
            degraded=degraded + serving.mirror.degraded,
        )
    )


def _for_reader(query: Query, found: Similar) -> Similar:
    """By score · (1 + PERSONAL · how near the post is to the last posts of the user by co-visitation, 1 for the
    nearest), within each source; what they have seen last."""
    near = dict.fromkeys((slot for slot, _, _ in found), 0.0)
    if len(query.past) and found:
        slots, scores = query.visited()
        near |= {slot: score for slot, score in zip(slots.tolist(), scores.tolist(), strict=True) if slot in near}
        most = max(*near.values(), 1e-12)
        near = {slot: score / most for slot, score in near.items()}
    seen = {*query.catalogue.known_slots(query.state.seen).tolist()}
    order = list(dict.fromkeys(source for _, _, source in found))
    return sorted(
        found,
        key=lambda each: (each[0] in seen, order.index(each[2]), -each[1] * (1.0 + PERSONAL * near[each[0]])),
    )


def _co_visitation(query: Query, slot: int, kept: Mask, threshold: float) -> Similar:
    catalogue = query.catalogue
    neighbours, weights = catalogue.neighbours.of(slot)
    scores = similarity(
        neighbours,
        weights,
        float(catalogue.strength[slot]),
        catalogue.strength[: catalogue.size],
        query.now,
    )
    shown = (scores > 0) & kept[neighbours]
    return _best(catalogue, neighbours[shown], scores[shown], threshold, "co_visitation")


def _in_vectors(models: Models, name: str, query: Query, slot: int, kept: Mask, threshold: float) -> Similar:
    """By the cosine of the vectors of a batch model."""
    catalogue, model = query.catalogue, models.vectors.get(name)
    if model is None or (row := (rows := model.rows(catalogue))[slot]) < 0:
        return []
    vectors, norms = model.vectors, model.norms
    if name == Graph.name:  # the last number is a bias
        vectors = vectors[:, :-1]
        norms = np.sqrt(np.maximum(norms**2 - model.vectors[:, -1] ** 2, 0.0))
    cosines = (vectors @ vectors[row]) / np.maximum(norms * norms[row], 1e-12)
    scores = np.where((rows >= 0) & kept, cosines[rows], 0.0)
    slots = np.flatnonzero(scores > 0)
    return _best(catalogue, slots, scores[slots], threshold, name)


def _best(
    catalogue: Catalogue,
    slots: NDArray[np.signedinteger],
    scores: NDArray[np.floating],
    threshold: float,
    source: str,
) -> Similar:
    """Those at least `threshold` times as similar as the best."""
    near = scores >= threshold * scores.max(initial=0.0)
    slots, scores = slots[near], scores[near]
    order = np.lexsort((catalogue.ids[slots], -scores))
    return [(int(slots[place]), float(scores[place]), source) for place in order]
