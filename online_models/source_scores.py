"""How sources score posts, over plain arrays: what the learner learns from and what feeds are made of is one code."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .co_visitation_scores import RECENCY, SHRINK
from .compiled import compiled
from .post_columns import Rows

VISITED, TASTED = 20, 50
TASTE_DECAY = 0.95
AUTHOR_SHARE = 0.5
"""What a post by an author of the last ones adds to a taste, whose tags add up to 1."""

Slots = NDArray[np.int32]
Out = NDArray[np.floating]


def visit(past: Slots, rows: Rows, strength: NDArray[np.float64], scale: float, scores: Out) -> None:
    """Fills scores (N,) by co-visitation (online_models.co_visitation).

    past (q,): slots of the user's last posts, newest first, whose rows are `rows.found`. strength (N,) and scale, which
    brings it and weights to now: of co-visitation.
    """
    scores[:] = 0.0
    _touched(past, rows, strength, scale, scores)


def visited(
    past: Slots, rows: Rows, strength: NDArray[np.float64], scale: float, sums: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The same of the slots (n,) that have any, (n,). sums (≥ N,): zeros, before and after."""
    slots = _touched(past, rows, strength, scale, sums)
    scores = sums[slots]
    sums[slots] = 0.0
    return slots, scores


def _touched(
    past: Slots, rows: Rows, strength: NDArray[np.float64], scale: float, scores: Out
) -> NDArray[np.int32]:  # fmt: skip
    found = rows.found[:VISITED]
    touched = np.empty(len(found) * rows.neighbours.shape[1], np.int32)
    count = _visit(
        found, past[:VISITED], rows.neighbours, rows.weights, rows.counts, strength, scale, RECENCY, scores, touched
    )
    return touched[:count]


def taste(
    past: Slots, hours: NDArray[np.int8], hour: int, interests: NDArray[np.int16], author: NDArray[np.int32],
    codes: int, scores: Out,
) -> None:  # fmt: skip
    """Fills scores (N,): mean share of what a post is about, its interests (N, INTERESTS), among those of the last
    posts, and AUTHOR_SHARE for an author (N,) of them. codes: how many interests there are.

    hours (q,): hour of the day, UTC, when the user met each of the last posts, −1 unknown. A post counts
    1 + max(cos, 0) times by the angle between that hour and `hour` now: twice at the same one, once from six hours on.
    So what a user comes to in the morning is not what they get in the evening.
    """
    _taste(past[:TASTED], hours[:TASTED], hour, interests, author, codes, scores)


def hour_of(at: float) -> int:
    """Of the day, UTC. at: seconds since 1970."""
    return int(at // 3600) % 24


def logits(outputs: NDArray[np.float32], bias: NDArray[np.float32], user: NDArray[np.float32], scores: Out) -> None:
    """Fills scores (N,) of a user with a vector (dim,): outputs (N, dim) · user + bias (N,)."""
    np.dot(outputs, user, out=scores)
    scores += bias


@compiled
def _visit(
    places: Any, past: Any, neighbours: Any, weights: Any, counts: Any, strength: Any, scale: Any, recency: Any,
    scores: Any, touched: Any,
) -> int:  # fmt: skip
    count = 0
    for q in range(len(past)):
        if places[q] < 0:
            continue
        factor = scale * recency[q] / np.sqrt(strength[past[q]] * scale + SHRINK)
        row = places[q]
        for k in range(counts[row]):
            slot, gain = neighbours[row, k], factor * weights[row, k]
            if not gain > 0:
                continue
            if scores[slot] == 0:
                touched[count] = slot
                count += 1
            scores[slot] += gain
    for at in range(count):
        scores[touched[at]] /= np.sqrt(strength[touched[at]] * scale + SHRINK)
    return count


@compiled
def _taste(
    past: Any, hours: Any, hour: Any, interests: Any, author: Any, codes: Any, scores: Any
) -> None:  # fmt: skip
    own, total, weight = np.zeros(codes, np.float32), np.float32(1e-9), np.float32(1)
    for q in range(len(past)):
        near = max(np.cos((hours[q] - hour) * (np.pi / 12.0)), 0.0) if hours[q] >= 0 else 0.0
        counted = weight * np.float32(1.0 + near)
        for tag in interests[past[q]]:
            if tag >= 0:
                own[tag] += counted
                total += counted
        weight *= np.float32(TASTE_DECAY)
    for slot in range(len(scores)):
        score, count = np.float32(0), 0
        for tag in interests[slot]:
            if tag < 0:
                break
            score += own[tag]
            count += 1
        score = score / total / count if count else np.float32(0)
        if author[slot] >= 0:
            for other in past[:10]:
                if author[other] == author[slot]:
                    score += np.float32(AUTHOR_SHARE)
                    break
        scores[slot] = score
