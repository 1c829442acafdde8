"""One score from those of all sources."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from online_models import aversion
from online_models.blend import START
from online_models.side_features import blend_features, side_features
from online_models.sources import NAMES
from schemas.settings import Settings

from ..learnt import Learnt
from ..stages import Candidates, Query, Scores

LEARNT_NAMES = {"trending": "trending_24h", "popular": "trending_7d"}
"""What the learner calls sources that had a name before it came."""


class Blend:
    """z of the learnt blend (online_models.blend) over the very features that it was learnt from, plus weight · (v + r)
    of each source that the learner does not have, v and r as in online_models.candidates. The weights of batch models
    are learnt too (online_models.outside_sources), from what pages told of v + r.

    Without it (no learner yet, one of another version, a user without a past): Σ over all sources of weight · (v + r),
    less what a candidate has in common with what the user turned against. Weights that are not learnt are START, but
    those of sources that don't know the user fade as 1 / (1 + events / COLD_START_THRESHOLD): smoothly, without a
    switch.
    """

    name = "blend"

    def __init__(self, settings: Settings) -> None:
        self._threshold = settings.cold_start_threshold

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores:
        if (learnt := query.learnt) is None or not len(candidates.slots):
            scores = scores + self.aversion(query, candidates)
        else:
            scores = scores + learnt.blend.predict_many(features(query, learnt, candidates))
        both = candidates.features[:, ::2] + candidates.features[:, 1::2]
        if query.learnt is not None:
            taught = [(name, both[:, column]) for column, name in _batch(query, candidates)]
            candidates.outside |= {name: said for name, said in taught if said.any()}
        return np.asarray(scores + both @ self.weights(query, candidates), np.float64)

    def weights(self, query: Query, candidates: Candidates) -> Scores:
        """Of the sources (S,) for this user; 0 for those that the learnt blend weighs."""
        weights = START * np.where(candidates.personal, 1.0, query.coldness(self._threshold))
        if query.learnt is not None:
            weights[_columns(tuple(candidates.names)) >= 0] = 0.0
            for column, name in _batch(query, candidates):
                weights[column] = query.learnt.trust(name)
        return weights

    @staticmethod
    def aversion(query: Query, candidates: Candidates) -> Scores:
        """(n,), 0 or less: what is taken off before anything is learnt."""
        return np.asarray(aversion.START * averse(query, candidates).sum(axis=1), np.float64)


def features(query: Query, learnt: Learnt, candidates: Candidates) -> NDArray[np.float32]:
    """(n, width), in the order of online_models.features. Zeros for a source that the pipeline does not have."""
    size = query.catalogue.size
    ours, missing = _ours(tuple(candidates.names))
    found = np.take(candidates.features, ours, axis=1)
    found[:, missing] = 0.0
    side = side_features(
        candidates.slots.astype(np.int32), candidates.places, query.past, query.glad,
        query.columns(learnt), learnt.posts.outputs[1], query.rows(query.past), query.catalogue.strength[:size],
        query.scale, query.now, query.now - query.last_at if query.last_at else 0.0,
    )  # fmt: skip
    return blend_features(found, side, averse(query, candidates))


def averse(query: Query, candidates: Candidates) -> NDArray[np.float32]:
    """(n, 3): what candidates have in common with what the user turned against (online_models.aversion)."""
    catalogue = query.catalogue
    return aversion.aversion(
        candidates.slots.astype(np.int32), candidates.places, query.disliked, catalogue.author, catalogue.tags,
        query.rows(query.disliked), catalogue.strength[: catalogue.size], query.scale,
    )  # fmt: skip


def learnt_names(candidates: Candidates) -> set[str]:
    """Of the sources that the learner has."""
    columns = _columns(tuple(candidates.names))
    return {name for name, column in zip(candidates.names, columns.tolist(), strict=True) if column >= 0}


def _batch(query: Query, candidates: Candidates) -> list[tuple[int, str]]:
    """Column and name of the sources that are batch models in service."""
    return [(column, name) for column, name in enumerate(candidates.names) if name in query.vectors]


@cache
def _columns(names: tuple[str, ...]) -> NDArray[np.int64]:
    """(S,): which source of the learner each is, −1 for one that it does not have."""
    known = [LEARNT_NAMES.get(name, name) for name in names]
    return np.array([NAMES.index(name) if name in NAMES else -1 for name in known], np.int64)


@cache
def _ours(names: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the features of candidates is each that the learner has of sources (2 S,), and which of those the
    pipeline does not have."""
    columns = _columns(names).tolist()
    places = np.array([columns.index(number) if number in columns else -1 for number in range(len(NAMES))])
    both = (2 * places[:, None] + np.arange(2)).ravel()
    return np.maximum(both, 0), np.flatnonzero(both < 0)
