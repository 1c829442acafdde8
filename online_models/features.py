"""The features of a candidate as a blend has them, of sources, of the side and of aversion, and their products with two
facts of the user, so that a blend can trust a source more with a long history, and less when the user was away (on
ML-100K: .2474 in place of .2423 of recall@10): their names, and the weights that a blend begins with."""

import numpy as np
from numpy.typing import NDArray

from . import aversion, side_features, sources
from .blend import START, Gates

_OF_SOURCES = [f"{name}_{kind}" for name in sources.NAMES for kind in ("value", "rank")]
_ALONE = (*_OF_SOURCES, *side_features.NAMES, *aversion.NAMES)
_GATES = ("history_length", "gap")
OTHERS = side_features.WIDTH + len(aversion.NAMES)
"""Features behind those of sources."""
GATES = Gates(len(_OF_SOURCES), tuple(_ALONE.index(gate) for gate in _GATES))
FEATURES = (
    *_ALONE, *(f"{name} by {gate}" for gate in _GATES for name in _OF_SOURCES),
)  # fmt: skip
START_WEIGHTS = np.array(
    [START] * len(_OF_SOURCES) + [0.0] * side_features.WIDTH + [aversion.START] * len(aversion.NAMES)
    + [0.0] * len(_GATES) * len(_OF_SOURCES), np.float32,
)  # fmt: skip


def others(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Views of the last OTHERS features (n, width): of the side and of aversion."""
    return features[:, -OTHERS : -len(aversion.NAMES)], features[:, -len(aversion.NAMES) :]
