"""The best of many scores: by a limit that enough of them are known to reach, so that few are looked at one by one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled, compiled_orders

LANES = 512
"""Each n-th score is of one lane, and the 80th largest of what lanes reach at most is reached by 80 scores at least: of
10,000 by 110, found in 4 µs. By bisection over the scores it took 25."""
CHUNK = 64


def top(
    scores: NDArray[np.floating], allowed: NDArray[np.bool_], above: float, best: NDArray[np.int32]
) -> int:  # fmt: skip
    """Fills best (depth,) with the places of the largest allowed scores (N,) that are above a limit, the largest first,
    equals by place; returns how many there are."""
    count: int = choose(scores, allowed, scores.dtype.type(above), best)
    return count


def reached(scores: NDArray[np.floating], allowed: NDArray[np.bool_], above: float, depth: int) -> float:
    """What at least `depth` of the allowed scores (N,) reach; `above` where no more than that is sure."""
    least: float = _reached(scores, allowed, scores.dtype.type(above), depth)
    return least


def reaching(
    scores: NDArray[np.floating], allowed: NDArray[np.bool_], above: float, least: float
) -> NDArray[np.int32]:  # fmt: skip
    """Places (n,) of the allowed scores (N,) that are above one limit and no less than the other."""
    kind, found = scores.dtype.type, np.empty(len(scores), np.int32)
    return found[: _reaching(scores, allowed, kind(above), kind(least), found)]


def ranked(
    scores: NDArray[np.floating], slots: NDArray[np.integer], above: float, best: NDArray[np.int32]
) -> int:  # fmt: skip
    """Fills best (depth,) with the slots (n,), distinct, whose scores (n,) are largest and above a limit, the largest
    first, equals by slot; returns how many there are."""
    count: int = _ranked(scores, slots, scores.dtype.type(above), best)
    return count


@compiled
def choose(scores: Any, allowed: Any, above: Any, best: Any) -> int:
    """`top`, for compiled code; `above` is of the kind that scores are."""
    places = np.empty(len(scores), np.int32)
    found = places[: _reaching(scores, allowed, above, _reached(scores, allowed, above, len(best)), places)]
    return _ranked(scores[found], found, above, best)


@compiled
def walk(order: Any, allowed: Any, best: Any) -> int:
    """Fills best (depth,) with the first allowed slots of an order, −1 behind its last; −1 when it doesn't reach far
    enough."""
    count = 0
    for at in range(len(order)):
        if order[at] < 0 or count == len(best):
            return count
        if allowed[order[at]]:
            best[count] = order[at]
            count += 1
    return count if count == len(best) else -1


@compiled
def scatter(slots: Any, values: Any, places: Any, at_places: Any) -> None:
    """Writes values (n,) of slots (n,) to where each has a place; places (N,): −1 for none."""
    for number in range(len(slots)):
        if places[slots[number]] >= 0:
            at_places[places[slots[number]]] = values[number]


@compiled_orders
def _reached(scores: Any, allowed: Any, above: Any, depth: int) -> Any:
    lanes = min(LANES, len(scores))
    if lanes <= depth:
        return above
    most = np.empty(lanes, scores.dtype)
    most[:] = above
    for start in range(0, len(scores), lanes):
        part, may = scores[start : start + lanes], allowed[start : start + lanes]
        for lane in range(len(part)):
            score = part[lane] if may[lane] else above
            most[lane] = score if score > most[lane] else most[lane]
    return np.partition(most, lanes - depth)[lanes - depth]


@compiled
def _reaching(scores: Any, allowed: Any, above: Any, least: Any, found: Any) -> int:
    count = 0
    for start in range(0, len(scores), CHUNK):
        part, may = scores[start : start + CHUNK], allowed[start : start + CHUNK]
        some = 0
        for at in range(len(part)):  # no branch: so it takes several at a time
            some += may[at] & (part[at] >= least)
        if some == 0:
            continue
        for at in range(len(part)):
            if may[at] and part[at] >= least and part[at] > above:
                found[count] = start + at
                count += 1
    return count


@compiled
def _less(score: Any, slot: Any, other: Any, its_slot: Any) -> bool:
    """Of equal scores the later slot is less."""
    return bool(score < other or (score == other and slot > its_slot))


@compiled
def _ranked(scores: Any, slots: Any, above: Any, best: Any) -> int:
    depth, count = len(best), 0
    values = np.empty(depth, scores.dtype)
    for place in range(len(scores)):
        score, slot = scores[place], slots[place]
        if not score > above or (count == depth and _less(score, slot, values[0], best[0])):
            continue
        if count < depth:  # a heap with the least on top: up from the end, or down from the top
            at = count
            count += 1
            while at > 0 and _less(score, slot, values[(at - 1) // 2], best[(at - 1) // 2]):
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
def _sunk(values: Any, best: Any, count: int, score: Any, slot: Any) -> int:
    """Where a slot goes that replaces the top of a heap of `count`."""
    at = 0
    while 2 * at + 1 < count:
        child = 2 * at + 1
        if child + 1 < count and _less(values[child + 1], best[child + 1], values[child], best[child]):
            child += 1
        if not _less(values[child], best[child], score, slot):
            break
        values[at], best[at] = values[child], best[child]
        at = child
    return at
