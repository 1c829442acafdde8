"""What a prequential test asks of a list: where a post stands, and what stands first."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .prequential import SHOWN


def ranks_of(slot: int, scores: NDArray[np.float32], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(S,): of a slot with each source, from 0, among those allowed (N,), by scores (S, N); ties count half."""
    ranks: NDArray[np.float64] = _ranks(scores, allowed, slot)
    return ranks


def first(
    slots: NDArray[np.int32], ranks: NDArray[np.float32], logits: NDArray[np.float32], total: NDArray[np.floating]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    """shown, by and popularity (m,), as online_models.prequential.Ranked has them.

    slots (n,): the candidates; ranks (n, S) with the sources, logits (n,) of the blend. total (N,): popularity.
    """
    width = ranks.shape[1] + 1
    shown, by = np.empty(width * SHOWN, np.int32), np.empty(width * SHOWN, np.int64)
    popularity = np.empty(width * SHOWN)
    count = _first(slots, ranks, np.argsort(-logits, kind="stable")[:SHOWN], total, shown, by, popularity)
    return shown[:count], by[:count], popularity[:count]


@compiled
def _ranks(scores: Any, allowed: Any, slot: Any) -> Any:
    ranks = np.empty(len(scores))
    for source in range(len(scores)):
        own = scores[source]
        mine, better, equal = own[slot], 0, -1
        for other in range(len(own)):  # without branches: so it takes several at a time
            better += allowed[other] & (own[other] > mine)
            equal += allowed[other] & (own[other] == mine)
        ranks[source] = better + 0.5 * equal
    return ranks


@compiled
def _first(slots: Any, ranks: Any, best: Any, total: Any, shown: Any, by: Any, popularity: Any) -> int:
    sources, count = ranks.shape[1], 0
    of_blend = np.zeros(len(slots), np.bool_)
    for place in best:
        of_blend[place] = True
    for place in range(len(slots)):
        begun = count
        for source in range(sources + 1):
            if of_blend[place] if source == sources else ranks[place, source] < SHOWN:
                shown[count], by[count] = slots[place], source
                count += 1
        if count > begun:
            mine, above = total[slots[place]], 0
            for other in range(len(total)):
                above += total[other] > mine
            popularity[begun:count] = above
    return count
