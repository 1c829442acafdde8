"""The batch model `ranker` over the best candidates: which of them the user will come to, and what will follow."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from online_models.blend import START
from online_models.candidates import ABSENT
from online_models.compiled import compiled
from online_models.post_table import TAGS
from online_models.ranking import AUTHORS, count_features, shares_of, values_of
from schemas.ranking import HEADS
from schemas.settings import Settings

from ..catalogue import Catalogue
from ..graph import Graph
from ..models import ItemVectors
from ..stages import Candidates, Query, Scores

MOST = 200
"""Candidates that are ranked: those with the best scores so far."""
DEADLINE = 0.02
"""Seconds. All of it takes .6 to .8 ms; .02 is a machine that has no core for it."""
REST_SECONDS = 0.1
"""After it took longer than that, so that a machine without a core for it is spared, and one that put it off for a
moment soon has it again. In two parts, to look at the clock between them, it takes a fifth more."""
LEAST = -4.0
"""As in online_models.candidates: what is so far below the best counts no less."""
_OF_RANKS = 1.0 - 2.0 * np.log1p(np.minimum(np.arange(MOST), ABSENT)) / np.log1p(ABSENT)
"""r of online_models.candidates, by rank."""


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
        order = np.argsort(-values, kind="stable")
        added = np.full(len(scores), LEAST - 1.0)
        added[best[order]] = np.maximum(0.5 * (values[order] - values[order[0]]), LEAST) + _OF_RANKS[:most]
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
    counts = count_features(query.popularity()[:, slots].T, catalogue.created_at[slots], query.now)
    own, authors, tags = posts_of(catalogue, model, slots, model.rows(catalogue)[slots])
    return {"own": own, "authors": authors, "tags": tags, "counts": counts[None]}


def past_inputs(query: Query, model: ItemVectors) -> dict[str, NDArray[Any]]:
    """What the graph reads of the user's last events."""
    events, catalogue = query.events, query.catalogue
    slots = np.array([catalogue.slots.get(post_id, -1) for post_id in events.posts.tolist()], np.int64)
    own, authors, tags = posts_of(catalogue, model, slots, model.rows_of(events.posts))
    return {
        "past_own": own, "past_authors": authors, "past_tags": tags, "types": events.types[None],
        "values": events.values[None], "gaps": events.gaps[None], "there": np.ones((1, len(slots)), np.bool_),
    }  # fmt: skip


def posts_of(
    catalogue: Catalogue, model: ItemVectors, slots: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Own vectors (1, n, width), authors (1, n) and tags (1, n, TAGS) of posts in slots (n,), −1 for one that is not
    known, and in rows (n,) of the model's vectors, others than those for one that it does not have."""
    own = np.zeros((1, len(slots), model.vectors.shape[1]), np.float32)
    authors, tags = np.empty((1, len(slots)), np.int64), np.empty((1, len(slots), TAGS), np.int64)
    _read(slots, rows, model.vectors, catalogue.author, catalogue.tags, own[0], authors[0], tags[0])
    return own, authors, tags


@compiled
def _read(
    slots: Any, rows: Any, vectors: Any, author: Any, tags: Any, own: Any, of_author: Any, of_tags: Any
) -> None:  # fmt: skip
    for at in range(len(slots)):
        slot, row = slots[at], rows[at]
        if 0 <= row < len(vectors):  # else a post that came after the training: what its author and tags say
            for column in range(vectors.shape[1]):
                own[at, column] = vectors[row, column]
        code = author[slot] if slot >= 0 else -1
        of_author[at] = code % AUTHORS if code >= 0 else AUTHORS
        for tag in range(tags.shape[1]):
            of_tags[at, tag] = tags[slot, tag] if slot >= 0 else -1


def explain(
    query: Query, slots: NDArray[np.int64], outputs: NDArray[np.float32], values: NDArray[np.float32]
) -> None:  # fmt: skip
    """Notes what the heads said of each post."""
    for slot, come, value, shares in zip(
        slots.tolist(), outputs[:, 0].tolist(), values.tolist(), shares_of(outputs).tolist(), strict=True
    ):
        query.heads[slot] = {"value": value, "come": come, **dict(zip(HEADS, shares, strict=True))}
