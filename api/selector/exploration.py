"""Gives one place low on the first page to a post of which little is known."""

import numpy as np
from numpy.typing import NDArray

from online_models.click_through import WEEK, beta
from schemas.learning import user_hash

from ..stages import EXPLORATION, Candidates, Query, Scores, Selector, Slots

POOL = 8
"""Posts that may be drawn, of those that somebody has met, and of those that nobody has."""
DRAWS = 32
"""Of all of the pool at once: the first decides, all of them tell how likely that was. 0.1 ms with a pool of 16."""
LEAST_PAGE = 3
"""A shorter page has no last third."""


class Exploration:
    """Thompson sampling (Thompson 1933; Chapelle and Li, NIPS 2011) on what is believed of the click-through of posts,
    Beta distributions over decayed counts (online_models.click_through): each post has a draw, the best is shown.

    The pool is what may win: those with the largest mean + 2 σ behind the page, equals as they are ranked, so that of
    posts of which nothing is known the likeliest to please come first. So every new post has its first impressions, and
    one that is not taken loses its turn.

    The place is in the last third of the page. What is drawn depends on the counts, and on the seed of the request or
    else on the user and how many events they had: a page that is asked for again is the same page, and the pages after
    it are what it left.
    """

    name = EXPLORATION

    def __init__(self, inner: Selector) -> None:
        self._inner = inner

    def order(self, query: Query, candidates: Candidates, scores: Scores) -> Slots:
        order, size = self._inner.order(query, candidates, scores), query.page_size
        if size < LEAST_PAGE or len(order) <= size or query.changes.exploration is False:
            return order
        shown, taken, met = _counts(query, candidates.slots)
        clicks, others = beta(shown, taken, query.catalogue.category[candidates.slots])
        pool = _pool(order[size:], clicks, others, met)
        random = np.random.default_rng(_seed(query))
        winners = random.beta(clicks[pool], others[pool], (DRAWS, len(pool))).argmax(axis=1)
        chosen = int(pool[winners[0]])
        candidates.explored[chosen] = float(np.mean(winners == winners[0]))
        place = size - 1 - int(random.integers(size // 3))
        rest = order[order != chosen]
        return np.concatenate([rest[:place], [chosen], rest[place:]])


def _seed(query: Query) -> list[int]:
    if query.seed is not None:
        return [query.seed]
    return [user_hash(query.username or query.session_id or "") & 0xFFFF_FFFF_FFFF_FFFF, query.state.events]


def _pool(behind: Slots, clicks: Scores, others: Scores, met: NDArray[np.bool_]) -> Slots:
    """Places (≤ 2 POOL,) in the candidates, of those (n,) behind the page."""
    a, b = clicks[behind], others[behind]
    mean = a / (a + b)
    bound = mean + 2.0 * np.sqrt(mean * (1.0 - mean) / (a + b + 1.0))
    best = behind[np.argsort(-bound, kind="stable")]
    return np.concatenate([best[met[best]][:POOL], best[~met[best]][:POOL]])


def _counts(query: Query, slots: Slots) -> tuple[Scores, Scores, NDArray[np.bool_]]:
    """Of posts (n,): seen impressions, clicks, and whether anybody has met them; none, before the learner told any."""
    if query.online is None:
        nothing = np.zeros(len(slots))
        return nothing, nothing, np.zeros(len(slots), np.bool_)
    posts = query.online.posts
    posts.make_room()
    shown, taken = posts.shown[slots, WEEK], posts.taken[slots, WEEK]
    return shown.astype(np.float64), taken.astype(np.float64), posts.known[slots]
