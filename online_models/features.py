"""The features of a candidate in the order of online_models.side_features.blend_features: their names, and the weights
that a blend begins with."""

import numpy as np

from . import aversion, side_features, sources
from .blend import START

_OF_SOURCES = [f"{name}_{kind}" for name in sources.NAMES for kind in ("value", "rank")]
FEATURES = (
    *_OF_SOURCES, *side_features.NAMES, *aversion.NAMES,
    *(f"{name} by {gate}" for gate in ("history_length", "gap") for name in _OF_SOURCES),
)  # fmt: skip
START_WEIGHTS = np.array(
    [START] * len(_OF_SOURCES) + [0.0] * side_features.WIDTH + [aversion.START] * len(aversion.NAMES)
    + [0.0] * 2 * len(_OF_SOURCES), np.float32,
)  # fmt: skip
