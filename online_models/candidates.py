"""Candidates of a blend: the union of what each source puts first, and how each source scores and ranks them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

DEPTH = 80
"""Posts taken from each source. 150 changed nothing, although it covers .90 of the targets in place of .84."""
ABSENT = 1.5 * DEPTH
"""The rank of a candidate that a source doesn't put among its DEPTH."""
FLOOR = 0.002
"""Of a source's best score, added to all: so that a score of none has a logarithm."""
BISECTIONS = 16
"""Enough to come near the limit of any scores; where they are not, more posts go through the heap."""
NO_SLOTS = np.empty(0, np.int32)


class Candidates:
    """slots (n,). places (N,): where a slot is among them, −1 for those that are not. ranks (n, S): from 0, or ABSENT.

    features (n, 2S): of each source, with s its score, m its best among the candidates and k the rank from 0,

        v = ½ ln((s + .002 m) / (m + .002 m)), for logits ½ (s − m) but no less than −4
        r = 1 − 2 ln(1 + k) / ln(1 + ABSENT)

    zeros for a source that offers nothing.
    """

    def __init__(
        self, scores: NDArray[np.float32], logits: NDArray[np.bool_], allowed: NDArray[np.bool_],
        also: NDArray[np.int32] = NO_SLOTS,
    ) -> None:  # fmt: skip
        """scores (S, N): of all sources; where a source has no logits, 0 is no evidence. allowed (N,). also (a,): slots
        that are candidates whatever the sources say."""
        places = np.full(scores.shape[1], -1, np.int32)
        slots, ranks = _gather(scores, logits, allowed, DEPTH, places)
        if len(others := np.unique(also[places[also] < 0])):
            places[others] = len(slots) + np.arange(len(others), dtype=np.int32)
            slots = np.concatenate([slots, others])
            ranks = np.concatenate([ranks, np.full((len(others), len(scores)), ABSENT, np.float32)])
        self.slots, self.places, self.ranks = slots, places, ranks
        self.features = _features(scores, logits, slots, ranks)


@compiled
def _gather(scores: Any, logits: Any, allowed: Any, depth: Any, places: Any) -> tuple[Any, Any]:
    sources = len(scores)
    best = np.empty((sources, depth), np.int32)
    counts = np.zeros(sources, np.int32)
    total = 0
    slots = np.empty(sources * depth, np.int32)
    for source in range(sources):
        counts[source] = _top(scores[source], allowed, np.float32(-np.inf if logits[source] else 0.0), best[source])
        for at in range(counts[source]):
            slot = best[source, at]
            if places[slot] < 0:
                places[slot] = total
                slots[total] = slot
                total += 1
    ranks = np.full((total, sources), ABSENT, np.float32)
    for source in range(sources):
        for at in range(counts[source]):
            ranks[places[best[source, at]], source] = at
    return slots[:total].copy(), ranks


@compiled
def _top(scores: Any, allowed: Any, above: Any, best: Any) -> int:
    """The best slots with a score above a limit, best first; returns how many."""
    depth, count = len(best), 0
    values = np.empty(depth, np.float32)
    least = _limit(scores, allowed, above, depth)
    for slot in range(len(scores)):
        score = scores[slot]
        if score < least or not score > above or (count == depth and score <= values[0]) or not allowed[slot]:
            continue
        if count < depth:  # a heap with the least on top: up from the end, or down from the top
            at = count
            count += 1
            while at > 0 and values[(at - 1) // 2] >= score:
                values[at], best[at] = values[(at - 1) // 2], best[(at - 1) // 2]
                at = (at - 1) // 2
        else:
            at = _sunk(values, best, count, score, slot)
        values[at], best[at] = score, slot
    for end in range(count - 1, 0, -1):
        score, slot = values[end], best[end]
        values[end], best[end] = values[0], best[0]
        at = _sunk(values, best, end, score, slot)
        values[at], best[at] = score, slot
    return count


@compiled
def _limit(scores: Any, allowed: Any, above: Any, depth: Any) -> Any:
    """What the best `depth` reach, and few others: by bisection, as counting takes no branches."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for slot in range(len(scores)):
        if allowed[slot] and scores[slot] > above:
            low, high = min(low, scores[slot]), max(high, scores[slot])
    for _ in range(BISECTIONS):
        middle = np.float32(0.5) * (low + high)
        count = 0
        for slot in range(len(scores)):
            count += allowed[slot] & (scores[slot] >= middle)
        if count < depth:
            high = middle
            continue
        low = middle
        if count < depth + depth // 4:
            break
    return low


@compiled
def _sunk(values: Any, best: Any, count: int, score: Any, slot: Any) -> int:
    """Where a slot goes that replaces the top of a heap of `count`; of equal scores the later slot is less."""
    at = 0
    while 2 * at + 1 < count:
        child = 2 * at + 1
        other = child + 1
        if other < count and (
            values[other] < values[child] or (values[other] == values[child] and best[other] > best[child])
        ):
            child = other
        if values[child] > score or (values[child] == score and best[child] < slot):
            break
        values[at], best[at] = values[child], best[child]
        at = child
    return at


@compiled
def _features(scores: Any, logits: Any, slots: Any, ranks: Any) -> Any:
    sources, count = len(scores), len(slots)
    features = np.zeros((count, 2 * sources), np.float32)
    span = np.log(1.0 + ABSENT)
    for source in range(sources):
        most = np.float32(-np.inf)
        offers = False
        for at in range(count):
            most = max(most, scores[source, slots[at]])
            offers = offers or ranks[at, source] < ABSENT
        if not offers:
            continue
        for at in range(count):
            score = scores[source, slots[at]]
            if logits[source]:
                features[at, 2 * source] = max(0.5 * (score - most), -4.0)
            else:
                features[at, 2 * source] = 0.5 * np.log((score + FLOOR * most) / (most + FLOOR * most))
            features[at, 2 * source + 1] = 1.0 - 2.0 * np.log(1.0 + ranks[at, source]) / span
    return features
