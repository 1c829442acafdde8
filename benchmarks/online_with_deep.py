"""Whether the blend finds more with batch models as more sources: test, then learn, as `evaluate online`, with them
trained again every few days of the stream, on what had happened until then and nothing else.

How far to trust each is learnt as that of every source: its value and rank, and their products with the gates, are
features of the blend (listwise softmax). Two runs over the same events, without and with them; prints a line each time
they are trained, then one JSON object. Its `reach` says what they could add: how many of the targets are among the best
80 of any source of the learner, of them, and of them alone, and how many of their best 80 a source of the learner has.
Run: OPENBLAS_NUM_THREADS=1 python -m benchmarks.online_with_deep ml-100k --positive rating:80 --model svd
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from batch_models import refresh
from batch_models.dataset import Columns, Interactions, Row
from batch_models.model import Servable
from online_models import sources
from online_models.blend import START, Blend, Gates
from online_models.candidates import ABSENT, DEPTH, NO_SLOTS, Candidates
from online_models.features import GATES, OTHERS, START_WEIGHTS
from online_models.positives import DEFAULT, Positives
from online_models.prequential import Prequential, Ranked
from online_models.recommender import Recommender
from reelstream import datasets
from reelstream.datasets.folder import Folder
from reelstream.evaluation import Evaluation
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES, Interaction
from schemas.learning import LearningBatch
from schemas.posts import Post, decode_post
from schemas.settings import Settings
from schemas.user_state import HISTORY_LENGTH

DAY = 86_400.0
FIRST = 5_000
"""Events before the model is trained for the first time."""
MODELS = ["svd", "collaborative", "graph", "deep"]
"""Those whose scores are of all posts, in the order of their training time."""


class Past(list[tuple[int, int, float, float]]):
    """What a user did, oldest first: post, type, value, event time."""


class Blended(Recommender):
    """The learner's own class, with the scores of batch models behind those of its sources. names: of the models."""

    def __init__(self, positives: Positives, seed: int, names: Sequence[str]) -> None:
        super().__init__(positives, seed=seed)
        of_sources, of_models, products = 2 * len(sources.NAMES), 2 * len(names), len(GATES.columns)
        others = START_WEIGHTS[of_sources : len(START_WEIGHTS) - of_sources * products]
        start = [START] * (of_sources + of_models), others, [0.0] * (of_sources + of_models) * products
        gates = Gates(of_sources + of_models, tuple(column + of_models for column in GATES.columns))
        self.blend = Blend(np.concatenate(start).astype(np.float32), seed + 3, gates)
        self.prequential = Prequential((*sources.NAMES, *names))
        self._names = names
        self.models: list[Servable] = []
        self.asked = Past()
        self.shared = 0.0

    def take(self, models: list[Servable], part: Interactions) -> None:
        self.models, self._part = models, part

    def candidates(
        self, user: int, at: float, allowed: NDArray[np.bool_], also: NDArray[np.int32] = NO_SLOTS
    ) -> tuple[NDArray[np.float32], Candidates, NDArray[np.float32]]:
        """As the learner's, of more sources."""
        past = self._past.of(user)
        scores = np.concatenate([self.sources.score(past, user, at, self._past.hours_of(user)), self._model_scores()])
        logits = np.append(sources.LOGITS, np.ones(len(self._names), np.bool_))
        found = Candidates(scores, logits, allowed, also, OTHERS)
        learners, models = np.split(found.ranks < ABSENT, [len(sources.NAMES)], axis=1)
        of_models = models.any(axis=1)
        self.shared = float(learners[of_models].any(axis=1).mean()) if of_models.any() else 0.0
        self.describe(found, user, at)
        return scores, found, found.features

    def _model_scores(self) -> NDArray[np.float32]:
        """(models, N): of the user whose events were told last, standardised; nothing without a model or a history."""
        rows = np.full((len(self._names), self.sources.slots.size), -np.inf, np.float32)
        if not self.models or not self.asked:
            return rows
        part = self._part
        posts, types, values, times = zip(*self.asked, strict=True)
        one = replace(
            part, users=np.zeros(len(posts), np.int32), types=np.array(types, np.uint8), at=np.array(times),
            posts=np.searchsorted(part.post_ids, posts).astype(np.int32), values=np.array(values, np.float32),
            user_count=1, content=part.content._replace(users=part.content.users[:1]),
        )  # fmt: skip
        slots = self.sources.slots.find(part.post_ids)
        for row, model in zip(rows, self.models, strict=True):
            scores = model.scores(one, np.zeros(1, np.int64))[0]
            known = np.isfinite(scores)
            if known.any():
                # Models differ in their units; the best lies 3 to 5 above the mean then, as of own logits.
                scores = (scores - scores[known].mean()) / max(float(scores[known].std()), 1e-6)
            known &= slots >= 0
            row[slots[known]] = scores[known]
        return rows


class Streamed(Evaluation):
    """`evaluate online`, with models that are trained from time to time. every: days. names: of the models."""

    def __init__(
        self, positives: Positives, score_from: float, seed: int, every: float, names: Sequence[str], folder: Path
    ) -> None:  # fmt: skip
        super().__init__(positives, score_from, seed)
        self._every, self._names, self._states = every, names, folder
        self._columns, self._posts, self._seen = Columns(), list[Post](), 0
        self._due, self.trainings, self.seconds = 0.0, 0, 0.0
        self._pasts: dict[str, Past] = {}
        self._asked: list[Past] = []
        self._reach = np.zeros(4)
        if names:
            self._recommender = Blended(positives, seed, names)
            self._recommender.tested = self._count  # type: ignore[method-assign]
            self.prequential = self._recommender.prequential

    def _count(self, ranked: Ranked) -> None:
        """Adds up what the model could add, of the same tests."""
        super()._count(ranked)
        if isinstance(self._recommender, Blended) and ranked.at >= self._score_from:
            learner, models, _ = np.split(ranked.ranks < DEPTH, [len(sources.NAMES), -1])
            by = learner.any(), models.any(), models.any() and not learner.any()
            self._reach += *by, self._recommender.shared

    @property
    def reach(self) -> dict[str, float]:
        shares = (self._reach / max(self.prequential.scored, 1)).round(4).tolist()
        return dict(zip(("learner", "models", "models_alone", "shared"), shares, strict=True))

    def run(self, folder: Folder, limit: int | None, show: Any) -> dict[str, Any]:
        rows = (row.value for row in folder.posts() if isinstance(row.value, dict))
        self._posts = [decode_post(msgspec.json.encode(row)) for row in rows]
        return super().run(folder, limit, show)

    def _add(self, event: Interaction) -> None:
        if not self._names:
            super()._add(event)
            return
        at = event.occurred_at.timestamp() if event.occurred_at is not None else 0.0
        if self._seen >= FIRST and at >= self._due:
            self._flush()
            self._train(at)
        past, before = self._pasts.setdefault(event.username, Past()), len(self._met)
        super()._add(event)
        if len(self._met) > before:
            self._asked.append(Past(past[-HISTORY_LENGTH:]))
        value = 1.0 if event.interaction_value is None else event.interaction_value
        past.append((event.post_id, TYPE_CODES[event.interaction_type], value, at))
        self._columns.extend([Row(event.username, event.post_id, event.interaction_type, value, at)])
        self._seen += 1

    def _flush(self) -> None:
        asked, blended = self._asked, self._recommender
        self._asked = []
        if not isinstance(blended, Blended):
            super()._flush()
            return
        learn_many = blended.learn_many

        def told(batch: LearningBatch, met: Any) -> None:
            def of(number: int) -> NDArray[np.int64]:
                blended.asked = asked[number]
                found: NDArray[np.int64] = met(number)
                return found

            learn_many(batch, of)

        blended.learn_many = told  # type: ignore[method-assign]
        super()._flush()
        blended.learn_many = learn_many  # type: ignore[method-assign]

    def _train(self, now: float) -> None:
        """On all events so far: those before `now`, with the settings that a refresh would choose on them."""
        began = time.process_time()
        known = dict.fromkeys((post.id for post in self._posts), True)
        part = self._columns.interactions(known, self._posts)
        part = part.where(np.argsort(part.at, kind="stable"))
        assert isinstance(self._recommender, Blended)
        settings = Settings(_env_file=None).model_copy(update={"model_path": self._states})
        models = []
        for name in self._names:
            module = import_module(f"batch_models.{refresh.MODELS[name]}")
            fitted = partial(module.fitted, job=module.job(settings)) if hasattr(module, "job") else module.fitted
            choice = module.choose(part, DEFAULT_WEIGHTS, settings.embedding_dim)
            models.append(fitted(part, DEFAULT_WEIGHTS, choice))
        self._recommender.take(models, part)
        self._due, self.trainings = now + self._every * DAY, self.trainings + 1
        seconds = time.process_time() - began
        self.seconds += seconds
        recall = self.prequential.report()["recall@10"]
        print(f"trained on {len(part):,} events in {seconds:.1f} s; so far recall@10 {recall:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name_or_dir")
    parser.add_argument("--positive", action="append")
    parser.add_argument("--score-from", default=0.0, type=float, help="seconds since 1970")
    parser.add_argument("--every", default=1.0, type=float, help="days between two trainings")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--model", choices=MODELS, action="append", required=True, help="more than one: all at once")
    parser.add_argument("--only", choices=["without", "with"])
    parser.add_argument("--data", default=Path(".reelstream"), type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {"models": given.model, "every_days": given.every, "limit": given.limit}
    folder = datasets.find(given.name_or_dir, given.data, print)
    for name in [given.only] if given.only else ["without", "with"]:
        with tempfile.TemporaryDirectory() as states:
            models, rules = given.model if name == "with" else [], Positives(given.positive or DEFAULT)
            run = Streamed(rules, given.score_from, 1, given.every, models, Path(states))
            found = run.run(folder, given.limit, lambda done: None)
        report[name] = {key: found[key] for key in ("scored", "recall@10", "ndcg@10", "coverage")}
        report[name] |= {"trainings": run.trainings, "training_seconds": round(run.seconds, 1)}
        if name == "with":
            report[name] |= {"reach": run.reach}
            report[name] |= {f"{model} alone": found["by_source"][model]["recall@10"] for model in given.model}
        print(name, report[name], flush=True)
    if not given.only:
        report["ratio"] = round(report["with"]["recall@10"] / report["without"]["recall@10"], 4)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
