"""The hybrid of collaborative models: one score, a weighted sum of theirs, with weights that are learnt.

Each part is trained before a point in time inside the training part, and asked at moments after it, each time with all
that the user had done by then. The weights make what the user turned to next most likely (softmax over sampled posts);
then the parts are trained again on everything. Scores are comparable as each part's are standardised for each user, and
of that the square root: the tails of similarities are long, and kept the weights small (see docs/batch-models.md).
"""

from collections.abc import Mapping

import numpy as np
import structlog
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from online_models.positives import Positives
from schemas.events import InteractionType

from .dataset import Interactions, pasts, positive
from .ease import Ease
from .evaluate import CELLS
from .item_based import ItemBased
from .model import Fitted, Model
from .recent_popularity import RecentPopularity
from .succession import Succession
from .svd import Choice, Svd
from .user_based import UserBased

VALIDATION = 0.89
MOMENTS = 2_000
"""Drawn at random where there are more."""
SAMPLED = 1_000
"""Posts at most that a moment's post is told from."""
PENALTY = 1e-3
BOUND = 10.0

log = structlog.get_logger()


def parts(dim: int, aim: Positives) -> list[Model]:
    """What is mixed. dim: the longest vectors of the SVD. aim: what the parts are to find."""
    return [
        RecentPopularity(aim), UserBased(aim), ItemBased("item-based", 0.8), Ease(200.0, 0.95),
        Ease(1000.0, 0.95, aim), Succession(aim), Svd(Choice(min(dim, 128))),
    ]  # fmt: skip


class Mixture:
    """mix (parts,): the weights. fitted: the trained parts of which the weight is above zero, in the same order."""

    def __init__(self, fitted: list[Fitted], mix: NDArray[np.float64]) -> None:
        self._fitted, self.mix = fitted, mix

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        total = np.zeros((len(users), len(before.post_ids)), np.float32)
        for part, weight in zip(self._fitted, self.mix[self.mix > 0], strict=True):
            total += np.float32(weight) * standardised(part.scores(before, users))
        return total


class Collaborative:
    """aim: what the parts and their weights are to find."""

    name = "collaborative"

    def __init__(self, dim: int, aim: Positives) -> None:
        self._dim, self._aim = dim, aim

    def _parts(self) -> list[Model]:
        return parts(self._dim, self._aim)

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> Mixture:
        mix = self._learn(part, weights, seed)
        named = zip(self._parts(), mix, strict=True)
        log.info("weights learnt", **{each.name: round(float(weight), 3) for each, weight in named})
        counted = [each for each, weight in zip(self._parts(), mix, strict=True) if weight > 0]
        return Mixture([each.fit(part, weights, seed) for each in counted], mix)

    def _learn(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> NDArray[np.float64]:
        """(parts,) weights, 0 or more; equal ones when there is no moment to learn from."""
        before, _ = part.split(VALIDATION)
        draw = np.random.default_rng(seed)
        rows = moments(part, len(before), self._aim)
        if not len(rows):
            return np.ones(len(self._parts()))
        rows = np.sort(draw.choice(rows, min(MOMENTS, len(rows)), replace=False))
        asked = pasts(part, rows)
        chosen = sampled(part, asked, rows, draw)
        return mixed(np.stack([_of(each.fit(before, weights, seed), asked, chosen) for each in self._parts()], axis=2))


def _of(fitted: Fitted, asked: Interactions, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """(moments, c) standardised scores of the posts chosen for each moment."""
    found = np.empty(chosen.shape, np.float32)
    step = max(1, CELLS // len(asked.post_ids))
    for start in range(0, len(chosen), step):
        rows = np.arange(start, min(start + step, len(chosen)))
        found[rows] = np.take_along_axis(standardised(fitted.scores(asked, rows)), chosen[rows], axis=1)
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


def mixed(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """(parts,) weights, 0 or more, under which column 0 of features (m, c, parts) is most likely: a convex problem."""

    def loss(mix: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = features @ mix.astype(np.float32)
        share = softmax(logits, axis=1)
        share[:, 0] -= 1.0
        slope = np.einsum("mc,mcp->p", share, features) / len(features)
        return float(-log_softmax(logits, axis=1)[:, 0].mean() + PENALTY * mix @ mix), slope + 2 * PENALTY * mix

    count = features.shape[2]
    found = minimize(loss, np.full(count, 1 / count), jac=True, method="L-BFGS-B", bounds=[(0.0, BOUND)] * count)
    return np.asarray(found.x)


def standardised(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """(u, posts) each row with mean 0 and deviation 1, then the root with the sign kept. A post that the model does not
    know gets the least of the row."""
    known = np.isfinite(scores)
    least = np.where(known, scores, np.inf).min(axis=1, keepdims=True)
    filled = np.where(known, scores, np.where(np.isfinite(least), least, 0.0))
    deviation = filled.std(axis=1, keepdims=True)
    centred = (filled - filled.mean(axis=1, keepdims=True)) / np.maximum(deviation, 1e-9)
    rooted: NDArray[np.float32] = np.sign(centred) * np.sqrt(np.abs(centred))
    return rooted
