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
        every = np.ones(len(scores), np.bool_)
        slots, places, ranks, self.features = gather(scores, logits, allowed, every, UNSORTED, also)
        self.slots, self.places, self.ranks = slots, places, ranks


def gather(
    scores: NDArray[np.float32], logits: NDArray[np.bool_], allowed: NDArray[np.bool_], offers: NDArray[np.bool_],
    firsts: NDArray[np.int32], also: NDArray[np.int32] = NO_SLOTS,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """slots, places, ranks and features, as Candidates has them.

    scores (S, ≥ N): what lies behind N is not looked at. offers (S,): which rows mean something. firsts (S, m): for
    sources whose order is known already the best slots of all, best first and −1 behind the last with any evidence; a
    row that begins with −1 is not known. It saves looking at all posts where m is enough for DEPTH that are allowed.
    """
    places = np.full(len(allowed), -1, np.int32)
    slots, ranks = _gather(scores, logits, allowed, offers, firsts, DEPTH, places)
    if len(also) and len(others := np.unique(also[places[also] < 0])):
        places[others] = len(slots) + np.arange(len(others), dtype=np.int32)
        slots = np.concatenate([slots, others])
        ranks = np.concatenate([ranks, np.full((len(others), len(scores)), ABSENT, np.float32)])
    return slots, places, ranks, _features(scores, logits, slots, ranks, offers, _RANKS)


UNSORTED = np.full((1, 1), -1, np.int32)
_RANKS = (1.0 - 2.0 * np.log(1.0 + np.append(np.arange(DEPTH), ABSENT)) / np.log(1.0 + ABSENT)).astype(np.float32)
"""r of each rank, the last of ABSENT: 16,000 logarithms of a feed are these 81."""


@compiled
def _gather(
    scores: Any, logits: Any, allowed: Any, offers: Any, firsts: Any, depth: Any, places: Any
) -> tuple[Any, Any]:
    sources = len(scores)
    best = np.empty((sources, depth), np.int32)
    counts = np.zeros(sources, np.int32)
    total = 0
    slots = np.empty(sources * depth, np.int32)
    for source in range(sources):
        if not offers[source]:
            continue
        known = firsts[source] if source < len(firsts) else firsts[0, :0]
        counts[source] = _walk(known, allowed, best[source])
        if counts[source] < 0:
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
def _walk(known: Any, allowed: Any, best: Any) -> int:
    """Takes the best allowed slots from an order that is known; −1 when it does not reach far enough."""
    count = 0
    if len(known) == 0 or known[0] < 0:
        return -1
    for at in range(len(known)):
        if known[at] < 0 or count == len(best):
            return count
        if allowed[known[at]]:
            best[count] = known[at]
            count += 1
    return count if count == len(best) else -1


@compiled
def _top(scores: Any, allowed: Any, above: Any, best: Any) -> int:
    """The best slots with a score above a limit, best first; returns how many."""
    depth, count = len(best), 0
    values = np.empty(depth, np.float32)
    least = _limit(scores, allowed, above, depth)
    for slot in range(len(allowed)):
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
    for slot in range(len(allowed)):
        if allowed[slot] and scores[slot] > above:
            low, high = min(low, scores[slot]), max(high, scores[slot])
    for _ in range(BISECTIONS):
        middle = np.float32(0.5) * (low + high)
        count = 0
        for slot in range(len(allowed)):
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
def _features(scores: Any, logits: Any, slots: Any, ranks: Any, offers: Any, of_ranks: Any) -> Any:
    sources, count = len(scores), len(slots)
    features = np.zeros((count, 2 * sources), np.float32)
    none = 0.5 * np.log(FLOOR / (1.0 + FLOOR))
    for source in range(sources):
        if not offers[source]:
            continue
        most = np.float32(-np.inf)
        some = False
        for at in range(count):
            most = max(most, scores[source, slots[at]])
            some = some or ranks[at, source] < ABSENT
        if not some:
            continue
        for at in range(count):
            score, rank = scores[source, slots[at]], ranks[at, source]
            if logits[source]:
                features[at, 2 * source] = max(0.5 * (score - most), -4.0)
            elif score == 0:
                features[at, 2 * source] = none
            else:
                features[at, 2 * source] = 0.5 * np.log((score + FLOOR * most) / (most + FLOOR * most))
            features[at, 2 * source + 1] = of_ranks[int(rank) if rank < ABSENT else len(of_ranks) - 1]
    return features
