"""Names of the features of a candidate, in the order of online_models.side_features.blend_features."""

from . import side_features, sources

_OF_SOURCES = [f"{name}_{kind}" for name in sources.NAMES for kind in ("value", "rank")]
FEATURES = (
    *_OF_SOURCES, *side_features.NAMES,
    *(f"{name} by {gate}" for gate in ("history_length", "gap") for name in _OF_SOURCES),
)  # fmt: skip
