"""The ranker: which of some candidates a user will come to, and what will follow (ranker_network).

Others find the candidates: in a feed all sources, here a factorisation and popularity, by FirstStage.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from online_models.positives import Positives
from online_models.ranking import author_rows, count_features, values_of
from schemas.events import InteractionType
from schemas.ranking import DEFAULT_HEAD_WEIGHTS
from schemas.settings import Settings

from . import warm_start
from .course import Job
from .dataset import Interactions, cells, histories
from .deep_beginning import beginning
from .event_sequences import before as newest_before
from .event_sequences import sequences
from .model import Published
from .popularity_at import PopularityAt
from .ranker_export import INPUTS, exported
from .ranker_network import WIDTH, Ranker
from .ranker_training import RankerPlan, RankerTraining, Ranking

CANDIDATES = 200
SEED = 0
STATES = 1
"""Version of the states that are kept: another network begins from the beginning."""
THREADS = 1
"""Of torch: feeds are served beside the training."""
AT_ONCE = 64
BELOW = 1e6
"""Below every candidate is what is none, by the first stage's order."""

Run = Callable[[list[NDArray[Any]]], NDArray[np.float32]]
"""Inputs as in Ranker.forward → logits (b, n, 5)."""


@dataclass(frozen=True)
class Choice:
    """embedding_dim: the setting; the ranker is WIDTH wide whatever it allows."""

    embedding_dim: int


@dataclass(frozen=True)
class RankerJob(Job):
    """plan: of a ranker."""

    plan: RankerPlan


def choose(part: Interactions, weights: Mapping[InteractionType, float], embedding_dim: int) -> Choice:
    """Nothing is searched for: the defaults of RankerPlan were chosen on slices of two data sets."""
    return Choice(embedding_dim)


def job(settings: Settings) -> RankerJob:
    """Of a refresh."""
    return RankerJob(RankerPlan(), settings.model_path / RankerModel.name)


def fitted(
    part: Interactions, weights: Mapping[InteractionType, float], choice: Choice, job: RankerJob | None = None
) -> "FittedRanker":  # fmt: skip
    """What refresh evaluates and publishes."""
    return RankerModel(job).fit(part, weights, SEED)


def serves(
    published: Published, post_ids: NDArray[np.int64], weights: Mapping[InteractionType, float]
) -> "Ranked":  # fmt: skip
    """A published version, to be compared with."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(published.graph, options, providers=["CPUExecutionProvider"])

    def run(inputs: list[NDArray[Any]]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, dict(zip(INPUTS, inputs, strict=True)))[0], np.float32)

    own = published.of(post_ids)
    return Ranked(run, own, np.asarray(own.any(axis=1)), weights)


class RankerModel:
    """A batch_models.model.Model."""

    name = "ranker"

    def __init__(self, job: RankerJob | None = None) -> None:
        self._job = job or RankerJob(RankerPlan())

    def fit(self, part: Interactions, weights: Mapping[InteractionType, float], seed: int) -> "FittedRanker":
        torch.set_num_threads(THREADS)
        torch.manual_seed(seed)
        line = warm_start.Line(self._job.folder, part, [STATES, WIDTH, seed, weights], "vectors.weight")
        network = Ranking(line.turned(beginning(part, weights, WIDTH, seed)))
        line.begin(network)
        RankerTraining(network, part, sequences(part, Positives()), weights, self._job.plan, seed, line.kept()).run()
        line.end(network)
        known = np.bincount(part.posts, minlength=len(part.post_ids)) > 0
        return FittedRanker(network.ranker.eval(), network.vectors.weight.detach().numpy(), known, weights)


class Ranked:
    """A batch_models.model.Fitted. run: the network. own (posts, WIDTH): posts' own vectors. known (posts,)."""

    def __init__(
        self, run: Run, own: NDArray[np.float32], known: NDArray[np.bool_], weights: Mapping[InteractionType, float]
    ) -> None:  # fmt: skip
        self._run, self._own, self._known, self._weights = run, own * known[:, None], known, weights
        self._asked: Interactions | None = None

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """See batch_models.model.Fitted. CANDIDATES of each user are ranked, the others lie BELOW in the order of the
        first stage."""
        if before is not self._asked:
            self._first = FirstStage(before, self._weights, self._known)
            self._popularity, self._found = PopularityAt(before, self._weights), sequences(before, Positives())
            self._now = float(before.at[-1]) + 1.0
            everything = np.arange(len(before.post_ids))
            sums = self._popularity.sums(everything, np.full(len(everything), self._now))
            self._counts = count_features(sums, before.facts.created_at, self._now)
            self._asked = before
        scores = np.empty((len(users), len(before.post_ids)), np.float32)
        for start in range(0, len(users), AT_ONCE):
            some = users[start : start + AT_ONCE]
            part = self._first.scores(some)
            chosen = np.argsort(-part, axis=1, kind="stable")[:, :CANDIDATES]
            outputs = self.outputs(before, some, chosen)
            values = np.stack([values_of(each, DEFAULT_HEAD_WEIGHTS) for each in outputs])
            values = np.where(np.isfinite(np.take_along_axis(part, chosen, axis=1)), values, -np.inf)
            part -= np.float32(BELOW)
            np.put_along_axis(part, chosen, values, axis=1)
            scores[start : start + AT_ONCE] = part
        return scores

    def outputs(self, before: Interactions, users: NDArray[np.int64], posts: NDArray[np.int64]) -> NDArray[np.float32]:
        """(u, n, 5): logits of posts (u, n) for users (u,) after all that they did in `before`."""
        found, facts = self._found, before.facts
        past, there = newest_before(found.starts[users], found.starts[users + 1])
        of_past = found.posts[past]
        authors = author_rows(facts.authors)
        inputs: list[NDArray[Any]] = [
            self._own[posts], authors[posts], facts.tags[posts].astype(np.int64), self._counts[posts],
            self._own[of_past], authors[of_past], facts.tags[of_past].astype(np.int64),
            found.types[past], found.values[past], found.gaps[past], there,
        ]  # fmt: skip
        return self._run(inputs)


class FittedRanker(Ranked):
    """ranker: after training."""

    def __init__(
        self, ranker: Ranker, own: NDArray[np.float32], known: NDArray[np.bool_],
        weights: Mapping[InteractionType, float],
    ) -> None:  # fmt: skip
        self.ranker = ranker
        super().__init__(self._torch, own, known, weights)

    @torch.no_grad()
    def _torch(self, inputs: list[NDArray[Any]]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self.ranker(*map(torch.from_numpy, inputs)).numpy()
        return logits

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """(posts, WIDTH); rows of zeros for posts that nobody met."""
        return self._own

    def graph(self) -> bytes:
        """See batch_models.model.Servable."""
        return exported(self.ranker)


class FirstStage:
    """Who else finds candidates: a factorisation of who met what, and popularity for users without a history."""

    def __init__(
        self, before: Interactions, weights: Mapping[InteractionType, float], known: NDArray[np.bool_]
    ) -> None:  # fmt: skip
        self._vectors = beginning(before, weights, WIDTH, SEED)
        self._histories = histories(before, weights)
        self._met = cells(before.users, before.posts, self._histories.shape)
        count = np.bincount(before.posts, minlength=len(known))
        self._popularity = (1e-6 * count).astype(np.float32)
        self._never = ~(known & before.servable)

    def scores(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(u, posts); −inf for what a user met, and for what is not known or may not be served."""
        scores: NDArray[np.float32] = (self._histories[users] @ self._vectors) @ self._vectors.T + self._popularity
        scores[:, self._never] = -np.inf
        scores[self._met[users].nonzero()] = -np.inf
        return scores
