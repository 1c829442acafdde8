"""The hybrid of collaborative models: one matrix from post to post, a weighted sum of theirs, as vectors of posts.

    score of post j = β · p_j + Σ_q r^q Σ_parts α M_ij^e / Σ_q r^q,    i = q-th newest post of the history, e below 1:
                                                                       the tails of similarities are long
Each part is trained before a point in time inside the training part, and asked at moments after it, each time with all
that the user had done by then. The weights α, β make what the user turned to next most likely (softmax over sampled
posts), r and e are those under which it is likeliest; then the parts are trained again on everything. What serves is
the best approximation of the sum by RANK directions: a post has a vector as part of a history, another as a candidate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy.sparse as sp
import structlog
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.utils.extmath import randomized_svd

from online_models.positives import Positives
from schemas.events import InteractionType

from .collaborative_parts import Matrix, best_known, fading_popularity, parts
from .dataset import Interactions, histories, pasts, positive
from .model import Published

VALIDATION = 0.89
MOMENTS = 2_000
"""Drawn at random where there are more."""
SAMPLED = 1_000
"""Posts at most that a moment's post is told from."""
PENALTY = 1e-3
BOUND = 10.0
RANK = 128
RECENCIES = (0.8, 0.9)
EXPONENTS = (0.5, 0.7, 1.0)
SEED = 0

log = structlog.get_logger()


@dataclass(frozen=True)
class Choice:
    """mix: the weight of each part, 0 or more, and of popularity under "popularity"."""

    dim: int
    mix: dict[str, float]
    recency: float = RECENCIES[0]
    exponent: float = EXPONENTS[1]


def choose(part: Interactions, weights: Mapping[InteractionType, float], embedding_dim: int) -> Choice:
    """Learnt on the last slice of `part`."""
    return _choose(part, weights, embedding_dim, Positives(), SEED)


def fitted(part: Interactions, weights: Mapping[InteractionType, float], choice: Choice) -> "Directed":
    """What refresh evaluates and publishes."""
    return _fit(part, weights, choice, Positives(), SEED)


def serves(
    published: Published, post_ids: NDArray[np.int64], weights: Mapping[InteractionType, float]
) -> "Directed":  # fmt: skip
    """A published version, to be compared with."""
    return Directed(published.of(post_ids), weights)


class Collaborative:
    """aim: what the parts and their weights are to find."""

    name = "collaborative"

    def __init__(self, dim: int, aim: Positives) -> None:
        self._dim, self._aim = dim, aim

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> "Directed":
        choice = _choose(part, weights, self._dim, self._aim, seed)
        return _fit(part, weights, choice, self._aim, seed)


class Directed:
    """vectors (posts, 2 · rank + 2): of a post as a candidate, its bias, its vector as part of a history, and the
    recency, the same for all. A user is the mean of the vectors of the history, the q-th newest counting recency^q, and
    a 1 where posts have the bias. Rows of zeros for posts that are not known.
    """

    def __init__(self, vectors: Matrix, weights: Mapping[InteractionType, float]) -> None:
        self.item_vectors = vectors
        self._weights = weights

    def graph(self) -> None:
        """None: see batch_models.model.Servable."""

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """See batch_models.model.Fitted. A user without a history gets what is most popular."""
        known: NDArray[np.bool_] = np.any(self.item_vectors, axis=1)
        vectors = self.item_vectors[known]
        rank = (vectors.shape[1] - 2) // 2
        recency = float(vectors[0, -1]) if len(vectors) else RECENCIES[0]
        history = averaged(histories(before.of_users(users), self._weights, recency, by_strength=False)[:, known])
        scores = np.full((len(users), len(known)), -np.inf, np.float32)
        scores[:, known] = (history @ vectors[:, rank + 1 : -1]) @ vectors[:, :rank].T + vectors[:, rank]
        return scores


def averaged(history: sp.csr_matrix) -> sp.csr_matrix:
    """Rows that sum to 1, or are empty."""
    sums = np.maximum(np.asarray(history.sum(axis=1)).ravel(), 1e-9)
    return (sp.diags_array(1.0 / sums) @ history).tocsr()


def powered(matrix: Matrix | sp.csr_matrix, exponent: float) -> Matrix:
    """(k, k): each cell's magnitude to that power, its sign kept."""
    cells = np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.toarray(), np.float32)
    return cells if exponent == 1.0 else np.sign(cells) * np.abs(cells) ** np.float32(exponent)


def _fit(
    part: Interactions, weights: Mapping[InteractionType, float], choice: Choice, aim: Positives, seed: int
) -> Directed:
    known = best_known(part, weights)
    inner = part.of_posts(known)
    total = np.zeros((len(known),) * 2, np.float32)
    for name, matrix in parts(choice.dim, aim).items():
        if choice.mix[name] > 0:
            total += np.float32(choice.mix[name]) * powered(matrix(inner, weights, seed), choice.exponent)
    rank = min(RANK, len(known))
    left, values, right = randomized_svd(total, rank, n_iter=4, random_state=seed) if rank else (total, [], total)
    root = np.sqrt(np.asarray(values, np.float32))
    vectors = np.zeros((len(part.post_ids), 2 * rank + 2), np.float32)
    vectors[known, :rank] = right.T * root
    vectors[known, rank] = choice.mix["popularity"] * fading_popularity(inner, weights, aim)
    vectors[known, rank + 1 : -1] = left * root
    vectors[known, -1] = choice.recency
    return Directed(vectors, weights)


def _choose(
    part: Interactions, weights: Mapping[InteractionType, float], dim: int, aim: Positives, seed: int
) -> Choice:
    """Equal weights when there is no moment to learn from."""
    names = [*parts(dim, aim), "popularity"]
    inner = part.of_posts(best_known(part, weights))
    before, _ = inner.split(VALIDATION)
    draw = np.random.default_rng(seed)
    rows = moments(inner, len(before), aim)
    if not len(rows):
        return Choice(dim, dict.fromkeys(names, 1.0))
    rows = np.sort(draw.choice(rows, min(MOMENTS, len(rows)), replace=False))
    asked = pasts(inner, rows)
    chosen = sampled(inner, asked, rows, draw)
    past = {each: averaged(histories(asked, weights, each, by_strength=False)) for each in RECENCIES}
    popularity = fading_popularity(before, weights, aim)[chosen]
    features: dict[tuple[float, float], list[Matrix]] = {each: [] for each in product(RECENCIES, EXPONENTS)}
    for matrix in parts(dim, aim).values():
        cells = matrix(before, weights, seed)
        for exponent in EXPONENTS:
            raised = powered(cells, exponent)
            for recency in RECENCIES:
                features[recency, exponent].append(_of(past[recency], raised, chosen))
    found = {each: mixed(np.stack([*columns, popularity], axis=2)) for each, columns in features.items()}
    recency, exponent = min(found, key=lambda each: found[each][1])
    mix = {name: round(float(weight), 6) for name, weight in zip(names, found[recency, exponent][0], strict=True)}
    log.info("weights learnt", recency=recency, exponent=exponent, **mix)
    return Choice(dim, mix, recency, exponent)


def _of(past: sp.csr_matrix, matrix: Matrix, chosen: NDArray[np.int64]) -> Matrix:
    """(moments, c) scores of the posts chosen for each moment."""
    found = np.empty(chosen.shape, np.float32)
    for start in range(0, len(chosen), 256):
        rows = slice(start, start + 256)
        found[rows] = np.take_along_axis(np.asarray(past[rows] @ matrix), chosen[rows], axis=1)
    return found


def moments(part: Interactions, start: int, aim: Positives) -> NDArray[np.int64]:
    """Positions from `start` on where a user with a past turned to a post not met before."""
    keys = part.users.astype(np.int64) * len(part.post_ids) + part.posts
    first = np.zeros(len(part), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    known = np.ones(len(part), np.bool_)
    known[np.unique(part.users, return_index=True)[1]] = False
    rows = np.flatnonzero(positive(part, aim) & first & known)
    return rows[rows >= start]


def sampled(
    part: Interactions, asked: Interactions, rows: NDArray[np.int64], draw: np.random.Generator
) -> NDArray[np.int64]:
    """(moments, c): the post that was turned to, in column 0, and posts that were not met by then."""
    posts = len(part.post_ids)
    chosen = draw.integers(posts, size=(len(rows), min(SAMPLED, posts)))
    bounds = np.searchsorted(asked.users, np.arange(len(rows) + 1))
    for row, target in enumerate(part.posts[rows]):
        # What was met takes no place in a ranking: a draw that was not stands in for it.
        known = np.isin(chosen[row], np.append(asked.posts[bounds[row] : bounds[row + 1]], target))
        chosen[row, known] = chosen[row, np.argmin(known)]
    return np.column_stack([part.posts[rows], chosen])


def mixed(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """(parts,) weights, 0 or more, under which column 0 of features (m, c, parts) is most likely, a convex problem, and
    the mean loss with them. Features are scaled to a deviation of 1 for that: the penalty is the same for all."""
    scale = np.maximum(features.std(axis=1).mean(axis=0), np.float32(1e-9))
    scaled = features / scale

    def loss(mix: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = scaled @ mix.astype(np.float32)
        share = softmax(logits, axis=1)
        share[:, 0] -= 1.0
        slope = np.einsum("mc,mcp->p", share, scaled) / len(scaled)
        return float(-log_softmax(logits, axis=1)[:, 0].mean() + PENALTY * mix @ mix), slope + 2 * PENALTY * mix

    count = features.shape[2]
    found = minimize(loss, np.full(count, 1 / count), jac=True, method="L-BFGS-B", bounds=[(0.0, BOUND)] * count)
    return np.asarray(found.x / scale), float(found.fun)
