"""The batch model `ranker` over the best candidates: which of them the user will come to, and what will follow."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from online_models.blend import START
from online_models.candidates import ABSENT
from online_models.ranking import author_rows, count_features, shares_of, values_of
from schemas.ranking import HEADS
from schemas.settings import Settings

from ..graph import Graph
from ..models import ItemVectors
from ..stages import Candidates, Query, Scores

MOST = 200
"""Candidates that are ranked: those with the best scores so far."""
DEADLINE = 0.02
"""Seconds. All of it takes .6 to .8 ms; .02 is a machine that has no core for it."""
REST_SECONDS = 1.0
"""After it took longer than that. In two parts, to look at the clock between them, it takes a fifth more."""
LEAST = -4.0
"""As in online_models.candidates: what is so far below the best counts no less."""


class Ranker:
    """Adds weight · (v + r), as a source that the learner does not have gets in the blend, whose weight clicks teach: v
    and r from the logarithm of what showing each candidate is worth (online_models.ranking). What is not ranked gets
    what the last would.

    Off without a version, and for users without an event. Raises TimeoutError when it took longer than DEADLINE, and
    for REST_SECONDS after that, which leaves the scores as they were.
    """

    name = "ranker"

    def __init__(self, settings: Settings) -> None:
        self._weights = settings.ranker_weights
        self._slow, self._rests_until = "", 0.0

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores:
        model = query.vectors.get("ranker")
        if model is None or (graph := model.graph) is None or not len(query.state.history) or not len(scores):
            return scores
        began = time.perf_counter()
        if began < self._rests_until:
            raise TimeoutError(self._slow)
        most = min(MOST, len(scores))
        best = np.argpartition(-scores, most - 1)[:most]
        outputs = logits(graph, query, model, candidates.slots[best])
        if (took := time.perf_counter() - began) > DEADLINE:
            self._slow = f"took {took * 1000:.0f} ms, allowed are {DEADLINE * 1000:.0f}"
            self._rests_until = began + took + REST_SECONDS
            raise TimeoutError(self._slow)
        values = values_of(outputs, self._weights)
        ranks = np.empty(most)
        ranks[np.argsort(-values, kind="stable")] = np.arange(most)
        below = np.maximum(0.5 * (values - values.max()), LEAST)
        added = np.full(len(scores), LEAST - 1.0)
        added[best] = below + 1.0 - 2.0 * np.log1p(np.minimum(ranks, ABSENT)) / np.log1p(ABSENT)
        if query.explain:
            explain(query, candidates.slots[best], outputs, values)
        weight = START
        if query.learnt is not None:
            candidates.outside[self.name], weight = added, query.learnt.trust(self.name)
        return np.asarray(scores + weight * added, np.float64)


def logits(graph: Graph, query: Query, model: ItemVectors, slots: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, 5): of posts in slots (n,)."""
    found: NDArray[np.float32] = graph.run(past_inputs(query, model) | candidate_inputs(query, model, slots))[0]
    return found


def candidate_inputs(query: Query, model: ItemVectors, slots: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """What the graph reads of posts in slots (n,)."""
    catalogue = query.catalogue
    decayed = query.popularity()[:, slots].T
    return {
        "own": own(model, model.rows(catalogue)[slots])[None], "authors": author_rows(catalogue.author[slots])[None],
        "tags": catalogue.tags[slots].astype(np.int64)[None],
        "counts": count_features(decayed, catalogue.created_at[slots], query.now)[None],
    }  # fmt: skip


def past_inputs(query: Query, model: ItemVectors) -> dict[str, NDArray[Any]]:
    """What the graph reads of the user's last events."""
    events, catalogue = query.events, query.catalogue
    slots = np.array([catalogue.slots.get(post_id, -1) for post_id in events.posts.tolist()], np.int64)
    there = slots >= 0
    rows = model.rows_of(events.posts)
    return {
        "past_own": own(model, np.where(rows < len(model.ids), rows, -1))[None],
        "past_authors": author_rows(np.where(there, catalogue.author[slots], -1))[None],
        "past_tags": np.where(there[:, None], catalogue.tags[slots], -1).astype(np.int64)[None],
        "types": events.types[None], "values": events.values[None], "gaps": events.gaps[None],
        "there": np.ones((1, len(slots)), np.bool_),
    }  # fmt: skip


def own(model: ItemVectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors of rows (n,), zeros for −1: a post that came after the training is what its author and tags say."""
    return np.where((rows >= 0)[:, None], model.vectors[rows], np.float32(0.0))


def explain(
    query: Query, slots: NDArray[np.int64], outputs: NDArray[np.float32], values: NDArray[np.float32]
) -> None:  # fmt: skip
    """Notes what the heads said of each post."""
    for slot, come, value, shares in zip(
        slots.tolist(), outputs[:, 0].tolist(), values.tolist(), shares_of(outputs).tolist(), strict=True
    ):
        query.heads[slot] = {"value": value, "come": come, **dict(zip(HEADS, shares, strict=True))}
