"""What a source says of all posts, for tests."""

import numpy as np

from api.retrieved import Retrieved
from api.stages import Query


def scores_of_all(query: Query, found: Retrieved) -> np.ndarray:
    """(N,): by slot; 0 or −∞ where there is no evidence."""
    slots = np.arange(query.catalogue.size, dtype=np.int32)
    scores = np.zeros(len(slots))
    found.write(slots, slots, scores)
    return scores


def evidence(query: Query, found: Retrieved) -> dict[int, float]:
    """Post id → score, of posts with any."""
    scores = scores_of_all(query, found)
    slots = np.flatnonzero(scores > (-np.inf if found.logits else 0.0))
    return dict(zip(query.catalogue.ids[slots].tolist(), scores[slots].tolist(), strict=True))
