"""What each source, and what else the blend weighs, adds to the score of a post; and what each scorer does."""

from typing import Any

import numpy as np

from online_models import side_features
from online_models.aversion import NAMES as AVERSIONS
from online_models.features import FEATURES, GATES, OTHERS

from ..scorers.blend import LEARNT_NAMES, Blend, features, learnt_names
from ..stages import Candidates, Query, Slots


class Contributions:
    """`{"scorers": {"blend": 1.2, "mood": 0.3}, "blend": {"co_visitation": 0.4, "post and user": 0.2, …}}`.

    scorers: by how much each changed the score; together they are the score. blend: before it has learnt, weight ·
    (value + rank) of each source, which add up. The learnt one is no sum: there it is how much less the score would be
    without that source (0 in place of all that it says), without what is known of post and user apart from sources
    (online_models.side_features), and without what is in common with what the user turned against.
    """

    name = "contributions"

    def __init__(self, blend: Blend) -> None:
        self._blend = blend

    def explain(self, query: Query, candidates: Candidates, slots: Slots) -> list[Any]:
        places = candidates.places[slots].astype(np.int64)
        parts = self._parts(query, candidates, places) if len(candidates.slots) else {}
        return [
            {
                "scorers": {
                    name: round(float(said[place]), 4) for name, said in candidates.parts.items() if said[place]
                },
                "blend": {name: round(float(said[at]), 4) for name, said in parts.items() if said[at]},
            }
            if place >= 0
            else None
            for at, place in enumerate(places.tolist())
        ]

    def _parts(self, query: Query, candidates: Candidates, places: Slots) -> dict[str, Any]:
        """By name, of places (p,) in the candidates; what stands for −1 means nothing."""
        both = candidates.features[places, :-OTHERS:2] + candidates.features[places, 1:-OTHERS:2]
        weights = self._blend.weights(query, candidates)
        parts = dict(zip(candidates.names, (both * weights).T, strict=True))
        if (learnt := query.learnt) is None:
            return parts | {"turned against": self._blend.aversion(query, candidates)[places]}
        found = features(candidates)[places]
        whole = learnt.blend.predict_many(found)
        for name in learnt_names(candidates):
            parts[name] = whole - learnt.blend.predict_many(found * ~_of_source(LEARNT_NAMES.get(name, name)))
        side, against = np.ones(found.shape[1], np.float32), np.ones(found.shape[1], np.float32)
        side[GATES.gated : -len(AVERSIONS)], against[-len(AVERSIONS) :] = 0.0, 0.0
        gates = np.zeros_like(found)
        gates[:, list(GATES.columns)] = found[:, list(GATES.columns)]
        # The gates, facts of the user, stay while the rest goes, as sources are weighed by them; what they are worth by
        # themselves is the same for all posts.
        alone = learnt.blend.predict_many(gates) - learnt.blend.predict_many(np.zeros_like(found))
        parts["post and user"] = whole - learnt.blend.predict_many(found * side + gates) + alone
        parts["turned against"] = whole - learnt.blend.predict_many(found * against)
        return parts


def _of_source(name: str) -> Any:
    """(width,): which features are those of a source."""
    names = FEATURES[: GATES.gated + side_features.WIDTH + len(AVERSIONS)]
    return np.array([feature in (f"{name}_value", f"{name}_rank") for feature in names])
