"""The best of many scores: by a limit that enough of them are known to reach, so that few are looked at one by one."""

from typing import Any

import numpy as np

from .compiled import compiled, compiled_orders

LANES = 512
"""Each n-th score is of one lane, and the 80th largest of what lanes reach at most is reached by 80 scores at least: of
10,000 by 110, found in 4 µs. By bisection over the scores it took 25. Of 1,500 scores half as many lanes choose as
well, in 7 µs in place of 8."""
FEW = 4_096
CHUNK = 64


@compiled
def top(scores: Any, allowed: Any, above: Any, best: Any) -> int:
    """Fills best (depth,) with the places of the largest allowed scores (N,) that are above a limit, the largest first,
    equals by place; returns how many there are. allowed: (N,)."""
    places = np.empty(len(scores), np.int32)
    limit = np.full(1, above, scores.dtype)[0]
    found = places[: reaching(scores, allowed, limit, reached(scores, allowed, limit, len(best)), places)]
    return ranked(scores[found], found, above, best)


@compiled
def best_of(scores: Any, slots: Any, allowed: Any, above: Any, best: Any) -> int:
    """The same of scores (n,) of slots (n,), distinct; allowed (N,) by slot."""
    may = allowed[slots]
    return ranked(scores[may], slots[may], above, best)


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
def reached(scores: Any, allowed: Any, above: Any, depth: int) -> Any:
    """What at least `depth` of the allowed scores (N,) reach; `above`, of their kind, where no more is sure."""
    lanes = min(LANES if len(scores) > FEW else LANES // 2, len(scores))
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
def reaching(scores: Any, allowed: Any, above: Any, least: Any, found: Any) -> int:
    """Fills found (≤ N,) with the places of the allowed scores (N,) that are above a limit and reach another;
    returns how many there are."""
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
def ranked(scores: Any, slots: Any, above: Any, best: Any) -> int:
    """Fills best (depth,) with the slots (n,), distinct, whose scores (n,) are largest and above a limit, the largest
    first, equals by slot; returns how many there are. By insertion, as few come here: of 110 it takes 3 µs, a heap took
    6."""
    depth, count = len(best), 0
    values = np.empty(depth, scores.dtype)
    for place in range(len(scores)):
        score, slot = scores[place], slots[place]
        if not score > above or (count == depth and not _less(values[depth - 1], best[depth - 1], score, slot)):
            continue
        at = min(count, depth - 1)
        count = min(count + 1, depth)
        while at > 0 and _less(values[at - 1], best[at - 1], score, slot):
            values[at], best[at] = values[at - 1], best[at - 1]
            at -= 1
        values[at], best[at] = score, slot
    return count
