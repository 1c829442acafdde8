"""One score from those of all sources."""

import numpy as np

from schemas.settings import Settings

from ..stages import ABSENT, Candidates, Query, Scores

DEPTH = 100
"""Candidates taken from each source; more changed nothing in prototypes (80 against 150)."""
WEIGHT = 0.1


class Blend:
    """Σ over sources of weight · (v + r), where for a candidate of score s and rank k in a source of best score m

        v = ½ · ln((s + .002 m) / (m + .002 m))       r = 1 − 2 · ln(1 + k) / ln(1 + 1.5 · DEPTH)

    and a candidate that the source does not have counts as s = 0, k = 1.5 · DEPTH. All weights are equal, but those
    of sources that don't know the user fade as 1 / (1 + events / COLD_START_THRESHOLD): smoothly, without a switch.
    """

    name = "blend"

    def __init__(self, settings: Settings) -> None:
        self._threshold = settings.cold_start_threshold

    def score(self, query: Query, candidates: Candidates, scores: Scores) -> Scores:
        best = candidates.scores.max(axis=0, initial=0.0)
        offered = best > 0
        best = np.where(offered, best, 1.0)
        value = 0.5 * np.log((candidates.scores + 0.002 * best) / (1.002 * best))
        ranks = np.where(candidates.ranks == ABSENT, 1.5 * DEPTH, candidates.ranks)
        rank = 1.0 - 2.0 * np.log1p(ranks) / np.log1p(1.5 * DEPTH)
        weights = self.weights(query, candidates) * offered
        return np.asarray(scores + (value + rank) @ weights, np.float64)

    def weights(self, query: Query, candidates: Candidates) -> Scores:
        """Weight of each source (S,) for this user."""
        events = query.state.events
        fade = 1.0 / (1.0 + events / self._threshold) if self._threshold else float(events == 0)
        return WEIGHT * np.where(candidates.personal, 1.0, fade)
