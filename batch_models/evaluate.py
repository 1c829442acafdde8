"""Evaluation: a model trained before a point in time, asked for what its users turned to after it.

Every post that may be served is ranked, except what the user met before. Users are folded in from their history
exactly as the API does it, so the figures are about what serves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from schemas.events import InteractionType

from .dataset import Interactions, histories, pairs
from .model import Fitted

TOP = 10
POSITIVE = 0.5
"""A pair of at least this strength is what a user turned to: half a view, or more."""
USERS = 5_000
"""More users are sampled (seeded): the standard error of recall is then below .005."""
CELLS = 16_000_000
"""Scores held at once: 64 MB."""

Score = Callable[[sp.csr_matrix], NDArray[np.float32]]
"""Histories (u, posts) → scores (u, posts); -inf for posts the model does not know."""

_DISCOUNTS = 1.0 / np.log2(np.arange(2, TOP + 2))


CHANCE = 1.645
"""Standard errors that a difference must exceed: chance alone does that one time in twenty."""


@dataclass(frozen=True)
class Figures:
    """Means over the users that were asked. recall: hits over min(10, positives); recalls (users,): of each."""

    recall: float
    ndcg: float
    recalls: NDArray[np.float64]

    @property
    def users(self) -> int:
        return len(self.recalls)

    def beats(self, other: "Figures") -> bool:
        """Whether recall is higher for the same users by more than chance would make it."""
        gains = self.recalls - other.recalls
        return bool(len(gains) and gains.mean() > CHANCE * gains.std() / np.sqrt(len(gains)))


class Trial:
    """The users of a later slice who have a history before it, and what they turned to."""

    def __init__(
        self, before: Interactions, after: Interactions, weights: Mapping[InteractionType, float], *,
        positive: float = POSITIVE, seed: int = 0,
    ) -> None:  # fmt: skip
        shape = (before.user_count, len(before.post_ids))
        past, future = pairs(before, weights), pairs(after, weights)
        self._unservable = ~before.servable
        met = sp.csr_matrix((np.ones(len(before), np.bool_), (before.users, before.posts)), shape=shape)
        taken = future.strengths >= positive
        positives = sp.csr_matrix(
            (np.ones(taken.sum(), np.float32), (future.users[taken], future.posts[taken])), shape=shape
        )
        positives = positives - positives.multiply(met)
        positives = positives.multiply(before.servable.astype(np.float32)).tocsr()
        positives.eliminate_zeros()
        history = histories(before, weights)
        users = np.flatnonzero((np.diff(positives.indptr) > 0) & (np.diff(history.indptr) > 0))
        if len(users) > USERS:
            users = np.sort(np.random.default_rng(seed).choice(users, USERS, replace=False))
        self._asked = users
        self._met, self._positives, self._history = met[users], positives[users], history[users]
        liked = past.strengths > 0
        self._popularity = np.bincount(past.posts[liked], minlength=shape[1]).astype(np.float32)

    @property
    def users(self) -> int:
        return int(self._history.shape[0])

    def popularity(self) -> Figures:
        """What everyone gets the same: posts by the number of users who liked them before the split."""
        return self.figures(lambda history: np.tile(self._popularity, (history.shape[0], 1)))

    def figures(self, score: Score) -> Figures:
        """Recall@10 and NDCG@10 of a model that scores histories. Zero for no users."""
        return self._figures(lambda rows: score(self._history[rows]))

    def figures_of(self, fitted: Fitted, before: Interactions) -> Figures:
        """Recall@10 and NDCG@10 of a model that is told the users and the part before the split."""
        return self._figures(lambda rows: fitted.scores(before, self._asked[rows]))

    def _figures(self, score: Callable[[slice], NDArray[np.float32]]) -> Figures:
        recalls, ndcgs = [np.empty(0)], [np.empty(0)]
        step = max(1, CELLS // self._history.shape[1]) if self.users else 1
        for start in range(0, self.users, step):
            rows = slice(start, start + step)
            scores = score(rows)
            scores[:, self._unservable] = -np.inf
            scores[self._met[rows].nonzero()] = -np.inf
            recall, ndcg = rank(scores, self._positives[rows].toarray() > 0)
            recalls.append(recall)
            ndcgs.append(ndcg)
        recall, ndcg = np.concatenate(recalls), np.concatenate(ndcgs)
        return Figures(float(recall.mean()) if self.users else 0.0, float(ndcg.mean()) if self.users else 0.0, recall)


class LaterSlice(Trial):
    """The trial of a model by what came after `share` of the interactions, in service all of them."""

    opponent = "popularity"
    whom = "users have a history and came back in the newest tenth of the interactions"
    trained_on = "everything; the figures are of a model trained before split_at"

    def __init__(
        self, whole: Interactions, share: float, weights: Mapping[InteractionType, float]
    ) -> None:  # fmt: skip
        self.before, after = whole.split(share)
        self.split_at = float(after.at[0])
        super().__init__(self.before, after, weights)


def fold_in(vectors: NDArray[np.float32]) -> Score:
    """Scores from item vectors (posts, dim): a user is the weighted sum of the vectors of the history, u = Σ w_i V_i,
    and a post scores V·u. A row of zeros is a post the model does not know."""
    unknown = ~vectors.any(axis=1)

    def score(history: sp.csr_matrix) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = (history @ vectors) @ vectors.T
        scores[:, unknown] = -np.inf
        return scores

    return score


def rank(
    scores: NDArray[np.float32], positives: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Recall@10 and NDCG@10, (u,) each, of scores (u, posts), when each of u has a positive; -inf is never a hit."""
    top = min(TOP, scores.shape[1])
    best = np.argpartition(-scores, top - 1, axis=1)[:, :top]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    known = np.isfinite(np.take_along_axis(scores, best, axis=1))
    hits = np.take_along_axis(positives, best, axis=1) & known
    wanted = np.minimum(positives.sum(axis=1), TOP)
    ideal = np.cumsum(_DISCOUNTS)[wanted - 1]
    return hits.sum(axis=1) / wanted, (hits * _DISCOUNTS[:top]).sum(axis=1) / ideal
