"""Which posts of the user's history speak for a post, in each source that counts them one by one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from online_models.co_visitation_scores import RECENCY, SHRINK
from online_models.ease import PAST as EASE_PAST
from online_models.ease import RECENCY as EASE_RECENCY
from online_models.post_columns import Rows
from online_models.sequence_factors import LONG, SHORT
from online_models.source_scores import VISITED
from online_models.transitions import PAST
from online_models.transitions import SHRINK as LEFT_SHRINK

from ..learnt import Learnt
from ..models import ItemVectors
from ..sources.co_visitation import CoVisitation
from ..sources.collaborative import Collaborative
from ..sources.ease import Ease
from ..sources.graph import RECENCY as GRAPH_RECENCY
from ..sources.graph import Graph
from ..sources.next import Next
from ..sources.sequence import Sequence
from ..sources.svd import RECENCY as SVD_RECENCY
from ..sources.svd import Svd
from ..sources.taste_factors import TasteFactors
from ..stages import Candidates, Query, Slots

Said = list[tuple[str, NDArray[np.integer], NDArray[np.float64]]]
"""Source, slots (q,) of posts of the history, and what each of them says for each post of the page (q, n)."""
MOST = 3
"""Posts named for each source, the ones that say most first."""


class History:
    """Source → posts of the history and the share that each has in what the source says for this post, above 0 and
    together 1 at most: `{"co_visitation": [{"post": 50, "share": 0.7}, …]}`. Sources without evidence are left out.

    Of factor models, what history posts say against it is no part of the sum. `deep` reads the history as a whole.
    """

    name = "history"

    def explain(self, query: Query, candidates: Candidates, slots: Slots) -> list[Any]:
        found: list[dict[str, list[dict[str, Any]]]] = [{} for _ in slots]
        for name, past, said in _said(query, slots):
            said = np.maximum(said, 0.0)
            total = said.sum(axis=0)
            for place in np.flatnonzero(total > 0).tolist():
                best = np.argsort(-said[:, place], kind="stable")[:MOST]
                found[place][name] = [
                    {"post": int(query.catalogue.ids[past[q]]), "share": round(float(said[q, place] / total[place]), 4)}
                    for q in best.tolist()
                    if said[q, place] > 0
                ]
        return [each or None for each in found]


def _said(query: Query, slots: Slots) -> Said:
    said: Said = []
    if len(past := query.past[:VISITED]):
        weights = _weights(query.rows(past), slots, query.catalogue.size)
        held = query.catalogue.strength[past] * query.scale + SHRINK
        said += [(CoVisitation.name, past, (RECENCY[: len(past)] / np.sqrt(held))[:, None] * weights)]
        if query.learnt is not None:
            said += _of_learner(query, query.learnt, slots)
    if len(query.history):
        for name, served in query.vectors.items():
            if name in _BATCH and len(served.ids):
                said += [(name, query.history, _of_batch(query, name, served, slots))]
    return said


def _of_learner(query: Query, learnt: Learnt, slots: Slots) -> Said:
    posts, last = learnt.posts, query.past[:PAST]
    posts.make_room()
    rows = Rows(posts.followers, posts.follower_weights, posts.follower_counts, last)
    steps = 1.0 / np.arange(1, len(last) + 1) / (posts.left[last] * query.scale + LEFT_SHRINK)
    said: Said = [(Next.name, last, steps[:, None] * _weights(rows, slots, query.catalogue.size))]
    for model, name, memory in ((0, Sequence.name, SHORT), (1, TasteFactors.name, LONG)):
        past = query.past[: memory.length]
        products = posts.inputs[model][past] @ posts.outputs[model][slots].T
        said += [(name, past, memory.decay ** np.arange(len(past))[:, None] * products)]
    if learnt.ease is not None:
        past = query.past[:EASE_PAST]
        said += [(Ease.name, past, EASE_RECENCY[: len(past), None] * learnt.ease.between(past, slots))]
    return said


def _of_batch(query: Query, name: str, served: ItemVectors, slots: Slots) -> NDArray[np.float64]:
    rows = served.rows(query.catalogue)
    recency, of_history, of_posts = _BATCH[name](served.vectors)
    liked = query.strengths if name == Svd.name else query.strengths > 0
    counted = recency ** np.arange(len(query.history)) * np.maximum(liked, 0.0)
    products = of_history[rows[query.history]] @ of_posts[rows[slots]].T
    known = (rows[query.history] >= 0)[:, None] & (rows[slots] >= 0)
    return np.where(known, counted[:, None] * products, 0.0)


Vectors = NDArray[np.float32]


def _collaborative(vectors: Vectors) -> tuple[float, Vectors, Vectors]:
    rank = (vectors.shape[1] - 2) // 2
    return float(vectors[0, -1]), vectors[:, rank + 1 : -1], vectors[:, :rank]


_BATCH: dict[str, Callable[[Vectors], tuple[float, Vectors, Vectors]]] = {
    Svd.name: lambda vectors: (SVD_RECENCY, vectors, vectors),
    Graph.name: lambda vectors: (GRAPH_RECENCY, vectors[:, :-1], vectors[:, :-1]),
    Collaborative.name: _collaborative,
}
"""Batch model → what a post counts against the one after it, vectors of history posts, and of posts that are scored."""


def _weights(rows: Rows, slots: Slots, size: int) -> NDArray[np.float64]:
    """(q, n): of the rows that were found, the weight of each of the slots."""
    places = np.full(size, -1)
    places[slots] = np.arange(len(slots))
    weights = np.zeros((len(rows.found), len(slots)))
    for q, row in enumerate(rows.found.tolist()):
        if row < 0:
            continue
        count = int(rows.counts[row])
        neighbours = rows.neighbours[row, :count]
        near = np.where(neighbours >= 0, places[neighbours], -1)
        weights[q, near[near >= 0]] = rows.weights[row, :count][near >= 0]
    return weights
