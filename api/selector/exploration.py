"""Gives one place low on the first page to a post of which little is known."""

from typing import Any

import numpy as np

from online_models.click_through import WEEK, beta
from online_models.compiled import compiled
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
        shown, taken, met, category = _counts(query, candidates.slots)
        chosen, chance = _explore(shown, taken, met, category, order, size, _seed(query))
        candidates.explored[int(chosen)] = chance
        return order


def _seed(query: Query) -> int:
    """32 bits."""
    if query.seed is not None:
        return query.seed & 0xFFFF_FFFF
    return (user_hash(query.username or query.session_id or "") + 0x9E37_79B9 * query.state.events) & 0xFFFF_FFFF


def _counts(query: Query, slots: Slots) -> tuple[Any, ...]:
    """Of posts (n,): seen impressions, clicks, whether anybody has met them, and categories; none of them, before the
    learner told any."""
    category = query.catalogue.category[slots]
    if query.online is None:
        nothing = np.zeros(len(slots), np.float32)
        return nothing, nothing, np.zeros(len(slots), np.bool_), category
    posts = query.online.posts
    posts.make_room()
    return posts.shown[slots, WEEK], posts.taken[slots, WEEK], posts.known[slots], category


@compiled
def _explore(shown: Any, taken: Any, met: Any, category: Any, order: Any, size: int, seed: int) -> Any:
    """Moves a candidate to a place low on the first page of an order (n,); returns which, and how likely that was. In
    one piece, as what is called once a feed has to be brought into the processor's caches by each: with numpy's
    generator and arrays it took .25 ms, this takes .06."""
    pool, clicks, others = _pool(shown, taken, met, category, order[size:])
    np.random.seed(seed)
    won, times = -1, 0
    for _ in range(DRAWS):
        best, most = 0, -1.0
        for at in range(len(pool)):
            drawn = np.random.beta(clicks[at], others[at])
            if drawn > most:
                best, most = at, drawn
        won = best if won < 0 else won
        times += best == won
    place, behind = size - 1 - np.random.randint(0, size // 3), size
    while order[behind] != pool[won]:
        behind += 1
    for at in range(behind, place, -1):
        order[at] = order[at - 1]
    order[place] = pool[won]
    return pool[won], times / DRAWS


@compiled
def _pool(shown: Any, taken: Any, met: Any, category: Any, behind: Any) -> Any:
    """Places (≤ 2 POOL,) in the candidates, of those (n,) behind the page, and what is believed of them."""
    clicks, others = beta(shown, taken, category)
    pool, bounds, counts = np.empty(2 * POOL, np.int64), np.empty(2 * POOL), np.zeros(2, np.int64)
    for place in behind:
        a, b = clicks[place], others[place]
        mean = a / (a + b)
        bound, first = mean + 2.0 * np.sqrt(mean * (1.0 - mean) / (a + b + 1.0)), 0 if met[place] else POOL
        count = counts[first // POOL]
        if count == POOL and not bound > bounds[first + POOL - 1]:
            continue
        at = first + min(count, POOL - 1)
        counts[first // POOL] = min(count + 1, POOL)
        while at > first and bound > bounds[at - 1]:
            pool[at], bounds[at] = pool[at - 1], bounds[at - 1]
            at -= 1
        pool[at], bounds[at] = place, bound
    pool = np.concatenate((pool[: counts[0]], pool[POOL : POOL + counts[1]]))
    return pool, clicks[pool], others[pool]
