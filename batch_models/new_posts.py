"""How well a model finds readers for posts that nobody has met: a fifth of all posts is kept out of the training.

The first viewers of such a post are asked at the moment before they came to it, from what they did with other posts
until then, and all posts that were kept out and that they don't meet some other time are ranked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from online_models.positives import Positives
from schemas.events import InteractionType

from .category_popularity import CategoryPopularity, UserCategories
from .dataset import Interactions, cells, pasts, positive, standing
from .evaluate import CELLS, Figures, rank
from .model import Fitted
from .protocols import Answers, Show

SHARE = 5
"""One post of so many is kept out."""
FIRST = 20
"""Viewers of a post that are asked for it."""
MOST = 10_000
"""Questions; of more, these are drawn (seeded)."""


@dataclass(frozen=True)
class NewPosts:
    """As protocols.Questions, a question for each first viewer of each post.

    train: what happened to the other posts. past: what was done before each question, by user 0 to q − 1. users (q,):
    these. viewers (q,): who they are. posts (c,): those kept out, in any order. answers (q,): place there of the post
    that was come to. met (q, c): what the viewer met besides, before or after.
    """

    train: Interactions
    past: Interactions
    users: NDArray[np.int64]
    viewers: NDArray[np.int32]
    posts: NDArray[np.int64]
    answers: NDArray[np.int64]
    met: sp.csr_matrix

    def ask(self, fitted: Fitted, show: Show) -> Answers:
        """Ranks for every question. `show` is told how many are done."""
        recalls, ndcgs = np.empty(len(self.users)), np.empty(len(self.users))
        step = max(1, CELLS // len(self.train.post_ids))
        for start in range(0, len(self.users), step):
            rows = slice(start, start + step)
            scores = fitted.scores(self.past, self.users[rows])[:, self.posts]
            scores[self.met[rows].nonzero()] = -np.inf
            recalls[rows], ndcgs[rows] = rank(scores, np.arange(len(self.posts)) == self.answers[rows, None])
            show(min(start + step, len(self.users)))
        return Answers(recalls, ndcgs)


def kept_out(post_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(p,): by a hash of the id, so always the same posts, whatever others there are."""
    mixed = (post_ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return np.asarray(mixed % np.uint64(SHARE) == 0)


def new_posts(whole: Interactions, positives: Positives, seed: int) -> NewPosts:
    """positives: what makes somebody a viewer. Only viewers who had met another post before are asked."""
    out, draw = kept_out(whole.post_ids), np.random.default_rng(seed)
    train = whole.where(~out[whole.posts])
    came = positive(whole, positives) & standing(whole) & out[whole.posts] & whole.servable[whole.posts]
    first = _first_viewers(whole, np.flatnonzero(came))
    began = np.full(whole.user_count, np.inf)
    np.minimum.at(began, train.users, train.at)
    first = first[began[whole.users[first]] < whole.at[first]]
    if len(first) > MOST:
        first = np.sort(draw.choice(first, MOST, replace=False))
    posts = draw.permutation(np.flatnonzero(out & whole.servable))  # of equal scores the first is taken: any
    place = np.full(len(whole.post_ids), -1)
    place[posts] = np.arange(len(posts))
    answers = place[whole.posts[first]]
    met = cells(whole.users, whole.posts, (whole.user_count, len(whole.post_ids)))[:, posts][whole.users[first]]
    met.data[met.indices == np.repeat(answers, np.diff(met.indptr))] = 0.0
    met.eliminate_zeros()
    past = pasts(whole, first)
    past = past.where(~out[past.posts])
    return NewPosts(train, past, np.arange(len(first)), whole.users[first], posts, answers, met)


def _first_viewers(whole: Interactions, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of rows in time order, those by which the first FIRST users came to each post."""
    pairs = whole.users[rows] * np.int64(len(whole.post_ids)) + whole.posts[rows]
    rows = rows[np.sort(np.unique(pairs, return_index=True)[1])]
    by_post = np.argsort(whole.posts[rows], kind="stable")
    posts = whole.posts[rows][by_post]
    before = np.arange(len(posts)) - np.searchsorted(posts, posts)
    return np.sort(rows[by_post[before < FIRST]])


class NewPostTrial:
    """As evaluate.Trial, over the first viewers of posts that were kept out: each has the mean of what they found."""

    opponent = "the popularity of categories"
    whom = "users with a past were first at posts that are kept out for a trial"
    trained_on = "everything; the figures are of a model trained without a fifth of the posts, for their first viewers"

    def __init__(self, questions: NewPosts, weights: Mapping[InteractionType, float]) -> None:
        self.questions = questions
        self._weights = weights
        self._viewers, self._of_question = np.unique(questions.viewers, return_inverse=True)

    @property
    def before(self) -> Interactions:
        """What is trained on."""
        return self.questions.train

    @property
    def split_at(self) -> float:
        """There is no such moment: the newest event."""
        return float(self.before.at.max(initial=0.0))

    @property
    def users(self) -> int:
        return len(self._viewers)

    def popularity(self) -> Figures:
        """Of categories, with everybody or with the user, whichever is better here."""
        models = CategoryPopularity(Positives()), UserCategories(Positives())
        both = [self.figures_of(model.fit(self.before, self._weights, 0), self.before) for model in models]
        return max(both, key=lambda figures: figures.recall)

    def figures_of(self, fitted: Fitted, before: Interactions) -> Figures:
        """before: what was trained on. Who is asked, is asked by what they did until then."""
        answers = self.questions.ask(fitted, lambda done: None)
        recalls, ndcgs = (self._by_viewer(each) for each in (answers.recall, answers.ndcg))
        recall, ndcg = (float(each.mean()) if self.users else 0.0 for each in (recalls, ndcgs))
        return Figures(recall, ndcg, recalls)

    def _by_viewer(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = np.bincount(self._of_question, minlength=self.users)
        return np.asarray(np.bincount(self._of_question, values, self.users) / np.maximum(counts, 1))
