"""One score from those of all sources."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from online_models import aversion
from online_models.blend import START, BlendWeights, Gates
from online_models.features import OTHERS, others
from online_models.side_features import side_features
from online_models.sources import NAMES
from schemas.learnt import Weights
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
        self._laid_out: tuple[Weights, tuple[str, ...], BlendWeights] | None = None

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores:
        if (learnt := query.learnt) is None or not len(candidates.slots):
            both = candidates.features[:, :-OTHERS:2] + candidates.features[:, 1:-OTHERS:2]
            return scores + both @ self.weights(query, candidates) + self.aversion(query, candidates)
        describe(query, learnt, candidates)
        found = candidates.features
        for column, name in _batch(query, candidates):
            if (said := found[:, 2 * column] + found[:, 2 * column + 1]).any():
                candidates.outside[name] = said
        blend = self._blend(learnt, candidates)
        linear = blend.linear.copy()
        linear[: 2 * len(candidates.names)] += np.repeat(self.weights(query, candidates), 2)
        return scores + blend._replace(linear=linear).predict_many(found)

    def weights(self, query: Query, candidates: Candidates) -> Scores:
        """Of the sources (S,) for this user; 0 for those that the learnt blend weighs."""
        weights = np.where(candidates.personal, START, START * query.coldness(self._threshold))
        if query.learnt is not None:
            weights[_columns(candidates.names) >= 0] = 0.0
            for column, name in _batch(query, candidates):
                weights[column] = query.learnt.trust(name)
        return weights

    @staticmethod
    def aversion(query: Query, candidates: Candidates) -> Scores:
        """(n,), 0 or less: what is taken off before anything is learnt."""
        averse = np.zeros((len(candidates.slots), len(aversion.NAMES)), np.float32)
        _averse(averse, query, candidates)
        return np.asarray(aversion.START * averse.sum(axis=1), np.float64)

    def _blend(self, learnt: Learnt, candidates: Candidates) -> BlendWeights:
        """The learnt blend over the features as candidates have them."""
        if self._laid_out is None or self._laid_out[0] is not learnt.weights or self._laid_out[1] != candidates.names:
            self._laid_out = learnt.weights, candidates.names, _laid_out(learnt.blend, candidates.names)
        return self._laid_out[2]


def describe(query: Query, learnt: Learnt, candidates: Candidates) -> None:
    """Fills the features of candidates behind those of sources."""
    side, averse = others(candidates.features)
    slots = candidates.slots.astype(np.int32)
    side_features(
        side, slots, candidates.places, query.past, query.glad, query.columns(learnt), query.logs(), slots,
        learnt.posts.outputs[1], query.rows(query.past), query.catalogue.strength, query.scale,
        query.now - query.last_at if query.last_at else 0.0,
    )  # fmt: skip
    _averse(averse, query, candidates)


def _averse(averse: NDArray[np.float32], query: Query, candidates: Candidates) -> None:
    """Fills (n, 3): what candidates have in common with what the user turned against (online_models.aversion)."""
    if not len(query.disliked):
        return
    catalogue = query.catalogue
    aversion.aversion(
        averse, candidates.slots.astype(np.int32), candidates.places, query.disliked, catalogue.author,
        catalogue.tags, query.rows(query.disliked), catalogue.strength, query.scale,
    )  # fmt: skip


def features(candidates: Candidates) -> NDArray[np.float32]:
    """(n, width), in the order of online_models.features. Zeros for a source that the pipeline does not have."""
    columns = _ours(candidates.names)
    found = candidates.features[:, columns]
    found[:, columns < 0] = 0.0
    return found


def learnt_names(candidates: Candidates) -> set[str]:
    """Of the sources that the learner has."""
    columns = _columns(candidates.names)
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
def _ours(names: tuple[str, ...]) -> NDArray[np.int64]:
    """Which of the features of candidates is each of the learner's (width,), −1 for one of a source that the pipeline
    does not have."""
    columns = _columns(names).tolist()
    places = np.array([columns.index(number) if number in columns else -1 for number in range(len(NAMES))])
    both = np.where(places[:, None] < 0, -1, 2 * places[:, None] + np.arange(2)).ravel()
    return np.concatenate([both, 2 * len(names) + np.arange(OTHERS)])


def _laid_out(blend: BlendWeights, names: tuple[str, ...]) -> BlendWeights:
    """The same weights over the features as candidates of these sources have them: those of a source that the learner
    does not have count nothing. To bring the features of each feed in order instead took 80 µs."""
    ours, gated = _ours(names), 2 * len(names)
    width, own = gated + OTHERS, ours[: blend.gates.gated]
    products = [np.where(own < 0, -1, width + gate * gated + own) for gate in range(len(blend.gates.columns))]
    columns = np.concatenate([ours, *products])
    linear = np.zeros(width + len(products) * gated, np.float32)
    inner = np.zeros((len(blend.inner), len(linear) + 1), np.float32)
    linear[columns[columns >= 0]] = blend.linear[columns >= 0]
    inner[:, columns[columns >= 0]] = blend.inner[:, :-1][:, columns >= 0]
    inner[:, -1] = blend.inner[:, -1]
    gates = Gates(gated, tuple(int(ours[column]) for column in blend.gates.columns))
    return BlendWeights(linear, inner, blend.outer, gates)
