"""The two protocols of `evaluate batch`: what is trained on, who is asked after it, and among which posts.

`time`: what comes after the 90 % quantile in time is the test, as in service. `ncf`: the last post of each user is
held out and ranked among 99 others (He et al., Neural Collaborative Filtering, WWW 2017); what others did later is
trained on, so its figures are higher than service will see.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from online_models.positives import Positives

from .dataset import Interactions, cells, positive, standing
from .evaluate import CELLS, rank
from .model import Fitted

QUANTILE = 0.9
NEGATIVES = 99
RESAMPLES = 1_000
"""Of the bootstrap: its 2.5 % and 97.5 % quantiles then rest on 25 resamples each."""

EVERYTHING = Positives(["view", "like", "inspire", "rating", "share", "bookmark", "comment", "follow"])
"""What counts under `ncf`: every event but a dislike."""

Show = Callable[[int], None]


@dataclass(frozen=True)
class Answers:
    """Of each user that was asked, (u,) each. recall: hits over min(10, positives)."""

    recall: NDArray[np.float64]
    ndcg: NDArray[np.float64]

    def report(self, seed: int) -> dict[str, float | list[float]]:
        """Means over users, each with a 95 % bootstrap interval (percentiles). hr: whether there was a hit at all."""
        columns = {"recall@10": self.recall, "ndcg@10": self.ndcg, "hr@10": (self.recall > 0).astype(np.float64)}
        figures: dict[str, float | list[float]] = {}
        for name, values in columns.items():
            figures[name] = float(values.mean())
            figures[f"{name}_interval"] = _interval(values, seed)
        return figures


@dataclass(frozen=True)
class Questions:
    """Who is asked after training on `train`, and what they turned to.

    users (u,). candidates (u, c): posts to rank, or None: all that the user did not meet. positives: (u, posts), or
    (u, c) where there are candidates.
    """

    train: Interactions
    users: NDArray[np.int64]
    positives: sp.csr_matrix
    candidates: NDArray[np.int64] | None = None

    def ask(self, fitted: Fitted, show: Show) -> Answers:
        """Ranks for every user. `show` is told how many are done."""
        recalls, ndcgs = np.empty(len(self.users)), np.empty(len(self.users))
        posts = len(self.train.post_ids)
        met = cells(self.train.users, self.train.posts, (self.train.user_count, posts))
        step = max(1, CELLS // posts)
        for start in range(0, len(self.users), step):
            rows = slice(start, start + step)
            scores = fitted.scores(self.train, self.users[rows])
            if self.candidates is None:
                scores[met[self.users[rows]].nonzero()] = -np.inf
            else:
                scores = np.take_along_axis(scores, self.candidates[rows], axis=1)
            recalls[rows], ndcgs[rows] = rank(scores, self.positives[rows].toarray() > 0)
            show(min(start + step, len(self.users)))
        return Answers(recalls, ndcgs)


def by_time(whole: Interactions, positives: Positives) -> Questions:
    """Users with a history who, after the quantile, turned to posts that they had not met: full ranking."""
    late = whole.at > np.quantile(whole.at, QUANTILE) if len(whole) else np.empty(0, np.bool_)
    train, test = whole.where(~late), whole.where(late)
    shape = (whole.user_count, len(whole.post_ids))
    hits = standing(test) & positive(test, positives)
    wanted = cells(test.users[hits], test.posts[hits], shape)
    wanted = (wanted - wanted.multiply(cells(train.users, train.posts, shape))).tocsr()
    wanted.eliminate_zeros()
    has_history = np.bincount(train.users, minlength=whole.user_count) > 0
    users = np.flatnonzero((np.diff(wanted.indptr) > 0) & has_history)
    return Questions(train, users, wanted[users])


def leave_last_out(whole: Interactions, seed: int) -> Questions:
    """The post of each user's last event (dislikes aside) among 99 drawn from what the user never met.

    All events of the user on that post are held out, or else it could be told from its view that a like came.
    """
    shape = (whole.user_count, len(whole.post_ids))
    counted = np.flatnonzero(positive(whole, EVERYTHING))
    last = np.full(whole.user_count, -1)
    last[whole.users[counted]] = whole.posts[counted]  # in time order, so the last one stays
    train = whole.where(whole.posts != last[whole.users])
    met = cells(whole.users, whole.posts, shape)
    users = np.flatnonzero((last >= 0) & (np.bincount(train.users, minlength=whole.user_count) > 0))
    users = users[np.diff(met.indptr)[users] < shape[1]]
    draw = np.random.default_rng(seed)
    count = min(NEGATIVES, int(shape[1] - np.diff(met.indptr)[users].max(initial=0)))
    candidates = np.empty((len(users), count + 1), np.int64)
    for row, user in enumerate(users):
        unmet = np.ones(shape[1], np.bool_)
        unmet[met.indices[met.indptr[user] : met.indptr[user + 1]]] = False
        chosen = draw.choice(np.flatnonzero(unmet), count, replace=False)
        # Anywhere among them: equal scores must not favour the post that was held out.
        candidates[row] = draw.permutation(np.append(chosen, last[user]))
    return Questions(train, users, sp.csr_matrix(candidates == last[users][:, None]), candidates)


def _interval(values: NDArray[np.float64], seed: int) -> list[float]:
    if not len(values):
        return [0.0, 0.0]
    draw = np.random.default_rng(seed)
    means = [float(values[draw.integers(len(values), size=len(values))].mean()) for _ in range(RESAMPLES)]
    return [float(bound) for bound in np.quantile(means, (0.025, 0.975))]
