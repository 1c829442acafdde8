"""Candidates of a blend: the union of what each source puts first, and how each source scores and ranks them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .selection import top

DEPTH = 80
"""Posts taken from each source. 150 changed nothing, although it covers .90 of the targets in place of .84."""
ABSENT = 1.5 * DEPTH
"""The rank of a candidate that a source doesn't put among its DEPTH."""
FLOOR = 0.002
"""Of a source's best score, added to all: so that a score of none has a logarithm."""
NO_SLOTS = np.empty(0, np.int32)


class Candidates:
    """slots (n,). places (N,): where a slot is among them, −1 for those that are not. ranks (n, S): from 0, or ABSENT.

    features (n, 2S + room): of each source, with s its score, m its best among the candidates and k the rank from 0,

        v = ½ ln((s + .002 m) / (m + .002 m)), for logits ½ (s − m) but no less than −4
        r = 1 − 2 ln(1 + k) / ln(1 + ABSENT)

    zeros for a source that offers nothing, and in the room for what else a blend sees.
    """

    def __init__(
        self, scores: NDArray[np.float32], logits: NDArray[np.bool_], allowed: NDArray[np.bool_],
        also: NDArray[np.int32] = NO_SLOTS, room: int = 0,
    ) -> None:  # fmt: skip
        """scores (S, N): of all sources; where a source has no logits, 0 is no evidence. allowed (N,). also (a,): slots
        that are candidates whatever the sources say."""
        best = np.empty((len(scores), DEPTH), np.int32)
        self.slots, self.places, self.ranks = union(best, _best(scores, logits, allowed, best), len(allowed))
        if len(also) and len(others := np.unique(also[self.places[also] < 0])):
            self.places[others] = len(self.slots) + np.arange(len(others), dtype=np.int32)
            self.slots = np.concatenate([self.slots, others])
            self.ranks = np.concatenate([self.ranks, np.full((len(others), len(scores)), ABSENT, np.float32)])
        self.features = features(scores, logits, self.slots, self.ranks, room)


def union(
    best: NDArray[np.int32], counts: NDArray[np.int32], size: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """slots, places (size,) and ranks, as Candidates has them. best (S, DEPTH): of each source the slots that it puts
    first, of which the first counts (S,) mean something."""
    places = np.full(size, -1, np.int32)
    slots, ranks = _union(best, counts, places)
    return slots, places, ranks


def features(
    scores: NDArray[np.floating], logits: NDArray[np.bool_], slots: NDArray[np.int32], ranks: NDArray[np.float32],
    room: int,
) -> NDArray[np.float32]:  # fmt: skip
    """As Candidates has them, of slots (n,) with ranks (n, S). scores (S, ≥ N): by slot."""
    found = np.zeros((len(slots), 2 * len(scores) + room), np.float32)
    ratios = _fill(found, scores, logits, slots, ranks, _RANKS)
    np.log(ratios, out=ratios)  # 16 at a time: one by one, in compiled code, each takes 10 ns
    _fill_logs(found, ratios, logits, ranks)
    return found


_RANKS = (1.0 - 2.0 * np.log(1.0 + np.append(np.arange(DEPTH), ABSENT)) / np.log(1.0 + ABSENT)).astype(np.float32)
"""r of each rank, the last of ABSENT: 16,000 logarithms of a feed are these 81."""


@compiled
def _best(scores: Any, logits: Any, allowed: Any, best: Any) -> Any:
    counts = np.empty(len(scores), np.int32)
    for source in range(len(scores)):
        above = -np.inf if logits[source] else 0.0
        counts[source] = top(scores[source, : len(allowed)], allowed, above, best[source])
    return counts


@compiled
def _union(best: Any, counts: Any, places: Any) -> tuple[Any, Any]:
    total = 0
    slots = np.empty(best.size, np.int32)
    for source in range(len(best)):
        for at in range(counts[source]):
            slot = best[source, at]
            if places[slot] < 0:
                places[slot] = total
                slots[total] = slot
                total += 1
    ranks = np.full((total, len(best)), ABSENT, np.float32)
    for source in range(len(best)):
        for at in range(counts[source]):
            ranks[places[best[source, at]], source] = at
    return slots[:total].copy(), ranks


@compiled
def _fill(features: Any, scores: Any, logits: Any, slots: Any, ranks: Any, of_ranks: Any) -> Any:
    """All but the logarithms. Returns what they are of (sources, n), in the order of the sources that have them."""
    count = len(slots)
    ratios, rows = np.empty((len(scores), count), np.float32), 0
    for source in range(len(scores)):
        most = scores.dtype.type(-np.inf)
        for at in range(count):
            most = max(most, scores[source, slots[at]])
        if not _offers(ranks, source):
            continue
        least = most * FLOOR
        for at in range(count):
            rank = ranks[at, source]
            features[at, 2 * source + 1] = of_ranks[int(rank) if rank < ABSENT else len(of_ranks) - 1]
            if logits[source]:
                features[at, 2 * source] = max(0.5 * (scores[source, slots[at]] - most), -4.0)
            else:
                ratios[rows, at] = (scores[source, slots[at]] + least) / (most + least)
        rows += not logits[source]
    return ratios[:rows]


@compiled
def _fill_logs(features: Any, ratios: Any, logits: Any, ranks: Any) -> None:
    row = 0
    for source in range(len(logits)):
        if logits[source] or not _offers(ranks, source):
            continue
        for at in range(len(features)):
            features[at, 2 * source] = np.float32(0.5) * ratios[row, at]
        row += 1


@compiled
def _offers(ranks: Any, source: int) -> bool:
    """Whether any candidate is among the best of a source."""
    return bool(len(ranks) and ranks[:, source].min() < ABSENT)
