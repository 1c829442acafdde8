"""Prequential evaluation: each positive is ranked before anything learns from it (Gama et al., 2013)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CUTS = (10, 20)
SHOWN = 10
CURVE = 1_000
"""Scored events a point of the curve."""


class Ranked(NamedTuple):
    """A positive as it was ranked, before it was learnt.

    ranks (S + 1,): from 0, of its post with each source and then with the blend; ties count half; inf: not listed.
    shown (m,): slots that each puts first, at most SHOWN each, and by (m,): which source did, S for the blend.
    popularity (m,): their ranks by popularity, from 0. events: of the user before. posts: how many were ranked.
    """

    at: float
    ranks: NDArray[np.float64]
    shown: NDArray[np.int32]
    by: NDArray[np.int64]
    popularity: NDArray[np.float64]
    events: int
    posts: int


class Prequential:
    """Sums of what was tested; a report at any time."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = [*names, "blend"]
        self.scored = self.cold_users = self.cold_items = 0
        self._sums = np.zeros((len(self.names), 3 * len(CUTS)))
        self._shown = np.zeros((len(self.names), 0), np.bool_)
        self._posts, self._popularity, self._count = 0, np.zeros(len(self.names)), np.zeros(len(self.names))
        self._events: list[int] = []
        self._found: list[bool] = []
        self._points: list[NDArray[np.float64]] = []
        self._point = np.zeros(len(self.names))

    def add(self, ranked: Ranked) -> None:
        ranks = ranked.ranks
        self.scored += 1
        places = np.minimum(ranks, CUTS[-1])
        gains = np.stack([np.ones(len(ranks)), 1.0 / np.log2(places + 2.0), 1.0 / (places + 1.0)], axis=1)
        found = ranks[:, None] < np.array(CUTS)
        self._sums += (found[:, :, None] * gains[:, None, :]).reshape(self._sums.shape)
        missing = int(ranked.shown.max(initial=-1)) + 1 - self._shown.shape[1]
        if missing > 0:
            self._shown = np.pad(self._shown, ((0, 0), (0, max(missing, self._shown.shape[1]))))
        self._shown[ranked.by, ranked.shown] = True
        self._posts = max(self._posts, ranked.posts)
        self._popularity += np.bincount(ranked.by, ranked.popularity, len(self.names))
        self._count += np.bincount(ranked.by, minlength=len(self.names))
        self._events.append(ranked.events)
        self._found.append(bool(ranks[-1] < SHOWN))
        self._point += ranks < SHOWN
        if self.scored % CURVE == 0:
            self._points.append(self._point / CURVE)
            self._point = np.zeros(len(self.names))

    @property
    def curve(self) -> NDArray[np.float64]:
        """Recall@10 of each source and the blend, (points, S + 1): over each CURVE scored events."""
        return np.array(self._points).reshape(-1, len(self.names))

    def report(self) -> dict[str, object]:
        """Figures of the blend, and under `by_source` of each source; fractions of 1, but for mean_popularity_rank."""
        figures = self._sums / max(self.scored, 1)
        coverage = self._shown.sum(axis=1) / max(self._posts, 1)
        popularity = self._popularity / np.maximum(self._count, 1)
        named = {
            name: {**_figures(row), "coverage": round(covered, 4), "mean_popularity_rank": round(rank, 1)}
            for name, row, covered, rank in zip(
                self.names, figures, coverage.tolist(), popularity.tolist(), strict=True
            )
        }
        blend = named.pop("blend")
        return {
            "scored": self.scored, "cold_user": self.cold_users, "cold_item": self.cold_items, **blend,
            "by_source": named, "by_activity": self._by_activity(),
        }  # fmt: skip

    def _by_activity(self) -> list[dict[str, float]]:
        """Recall@10 of the blend by decile of how many events the user had before."""
        if not self._events:
            return []
        order = np.argsort(self._events, kind="stable")
        events, found = np.array(self._events)[order], np.array(self._found)[order]
        return [
            {"events_up_to": int(part.max()), "recall@10": round(float(hits.mean()), 4)}
            for part, hits in zip(np.array_split(events, 10), np.array_split(found, 10), strict=True)
            if len(part)
        ]


def _figures(row: NDArray[np.float64]) -> dict[str, float]:
    names = [f"{name}@{cut}" for cut in CUTS for name in ("recall", "ndcg", "mrr")]
    return {name: round(float(value), 4) for name, value in zip(names, row, strict=True)}
