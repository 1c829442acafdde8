"""How sources score posts, over plain arrays: what the learner learns from and what feeds are made of is one code."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .co_visitation_scores import RECENCY, SHRINK
from .compiled import compiled
from .post_columns import Rows

VISITED, PROFILE = 20, 50
TASTE_DECAY = 0.95
AUTHOR_SHARE = 0.5
"""What a post by an author of the last ones adds to a taste, whose tags add up to 1."""

Slots = NDArray[np.int32]
Out = NDArray[np.floating]


def visit(past: Slots, rows: Rows, strength: NDArray[np.float64], scale: float, near: Out, profile: Out) -> None:
    """Fills near (N,) and profile (N,), both by co-visitation; see online_models.co_visitation for `near`, and

        profile(j) = Σ_q C[h_q, j] / (n_hq + 30) / (n_j + 30)^¼

    past (q,): slots of the user's last posts, newest first, whose rows are `rows.found`. strength (N,) and scale, which
    brings it and weights to now: of co-visitation.
    """
    _visit(
        rows.found[:PROFILE], past[:PROFILE], rows.neighbours, rows.weights, rows.counts, strength, scale, RECENCY,
        near, profile,
    )  # fmt: skip


def taste(past: Slots, tags: NDArray[np.int16], author: NDArray[np.int32], codes: int, scores: Out) -> None:
    """Fills scores (N,): mean share of a post's tags (N, TAGS) among those of the last posts, and AUTHOR_SHARE for an
    author (N,) of them. codes: how many tags there are."""
    _taste(past[:PROFILE], tags, author, codes, scores)


def logits(outputs: NDArray[np.float32], bias: NDArray[np.float32], user: NDArray[np.float32], scores: Out) -> None:
    """Fills scores (N,) of a user with a vector (dim,): outputs (N, dim) · user + bias (N,)."""
    np.dot(outputs, user, out=scores)
    scores += bias


@compiled
def _visit(
    places: Any, past: Any, neighbours: Any, weights: Any, counts: Any, strength: Any, scale: Any, recency: Any,
    near: Any, profile: Any,
) -> None:  # fmt: skip
    near[:], profile[:] = 0.0, 0.0
    for q in range(len(past)):
        if places[q] < 0:
            continue
        held = strength[past[q]] * scale + SHRINK
        first = scale * recency[q] / np.sqrt(held) if q < VISITED else 0.0
        row = places[q]
        for k in range(counts[row]):
            slot, weight = neighbours[row, k], weights[row, k]
            near[slot] += first * weight
            profile[slot] += scale * weight / held
    for slot in range(len(strength)):
        if profile[slot] > 0:
            norm = np.sqrt(strength[slot] * scale + SHRINK)
            near[slot] /= norm
            profile[slot] /= np.sqrt(norm)


@compiled
def _taste(past: Any, tags: Any, author: Any, codes: Any, scores: Any) -> None:
    own, total, weight = np.zeros(codes, np.float32), np.float32(1e-9), np.float32(1)
    for slot in past:
        for tag in tags[slot]:
            if tag >= 0:
                own[tag] += weight
                total += weight
        weight *= np.float32(TASTE_DECAY)
    for slot in range(len(scores)):
        score, count = np.float32(0), 0
        for tag in tags[slot]:
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
