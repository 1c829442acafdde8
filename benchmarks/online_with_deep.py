"""Whether the blend finds more with the deep model as one more source: test, then learn, as `evaluate online`, with the
model trained again every few days of the stream, on what had happened until then and nothing else.

Two runs over the same events, without and with it; prints a line each time it is trained, then one JSON object.
Run: OPENBLAS_NUM_THREADS=1 python -m benchmarks.online_with_deep ml-100k --positive rating:80
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from batch_models.dataset import Columns, Row
from batch_models.deep_ranker import Deep, FittedDeep, Job
from batch_models.deep_training import Plan
from online_models import aversion, side_features, sources
from online_models.blend import START, Blend
from online_models.candidates import NO_SLOTS, Candidates
from online_models.co_visitation import growth
from online_models.event_sequence import EventSequence, of_history
from online_models.features import START_WEIGHTS
from online_models.positives import DEFAULT, Positives
from online_models.prequential import Prequential
from online_models.recommender import Recommender
from reelstream import datasets
from reelstream.datasets.folder import Folder
from reelstream.evaluation import Evaluation
from schemas.events import DEFAULT_WEIGHTS, Interaction
from schemas.learning import LearningBatch
from schemas.posts import Post, decode_post
from schemas.user_state import UserState

DAY = 86_400.0
FIRST = 5_000
"""Events before the model is trained for the first time."""
DIM = 128


class Blended(Recommender):
    """The learner's own class, with the scores of a batch model behind those of its sources."""

    def __init__(self, positives: Positives, seed: int) -> None:
        super().__init__(positives, seed=seed)
        names = [*sources.NAMES, "deep"]
        pairs, rest = len(sources.NAMES) * 2, len(START_WEIGHTS) - 3 * 2 * len(sources.NAMES)
        start = [START] * (pairs + 2), START_WEIGHTS[pairs : pairs + rest], [0.0] * 2 * (pairs + 2)
        self.blend = Blend(np.concatenate(start).astype(np.float32), seed + 3)
        self.prequential = Prequential(tuple(names))
        self.deep: FittedDeep | None = None
        self.asked: EventSequence | None = None

    def take(self, deep: FittedDeep, post_ids: NDArray[np.int64]) -> None:
        self.deep, self._ids, self._vectors = deep, post_ids[deep.known], deep.item_vectors[deep.known]
        self._positions = np.flatnonzero(deep.known)

    def candidates(
        self, user: int, at: float, allowed: NDArray[np.bool_], also: NDArray[np.int32] = NO_SLOTS
    ) -> tuple[NDArray[np.float32], Candidates, NDArray[np.float32]]:
        """As the learner's, of one source more."""
        made, past, scale = self.sources, self._past.of(user), 1.0 / growth(at)
        scores = np.concatenate([made.score(past, user, at), self._deep_scores()[None]])
        found = Candidates(scores, np.append(sources.LOGITS, True), allowed, also)
        last_at = float(self._last_at[user])
        side = side_features.side_features(
            found.slots, found.places, past, self._past.glad_of(user), made.table.columns(at), made.taste.outputs,
            made.rows(past), made.strength, scale, at, at - last_at if last_at else 0.0,
        )  # fmt: skip
        disliked, table = self._past.disliked_of(user), made.table
        averse = aversion.aversion(
            found.slots, found.places, disliked, table.author, table.tags, made.rows(disliked), made.strength, scale,
        )  # fmt: skip
        return scores, found, side_features.blend_features(found.features, side, averse)

    def _deep_scores(self) -> NDArray[np.float32]:
        """(N,): of the user whose events were told last."""
        size = self.sources.slots.size
        row = np.full(size, -np.inf, np.float32)
        if self.deep is None or self.asked is None or not len(self.asked.posts):
            return row
        events, ids = self.asked, self._ids
        unknown = self.deep.network.shape.posts
        places = np.searchsorted(ids, events.posts)
        there = ids[np.minimum(places, len(ids) - 1)] == events.posts
        posts = np.where(there, self._positions[np.minimum(places, len(ids) - 1)], unknown)
        columns = posts, events.types, events.values, events.gaps, np.ones(len(posts), np.bool_)
        with torch.no_grad():
            vector = self.deep.tower(*(torch.from_numpy(each[None]) for each in columns))[0].numpy()
        slots = self.sources.slots.find(ids)
        known = slots >= 0
        row[slots[known]] = self._vectors[known] @ vector
        return row


class Streamed(Evaluation):
    """`evaluate online`, with a model that is trained from time to time. every: days; None for never."""

    def __init__(self, positives: Positives, score_from: float, seed: int, every: float | None, folder: Path) -> None:
        super().__init__(positives, score_from, seed)
        self._every, self._folder_of_states, self._positives = every, folder, positives
        self._columns, self._posts, self._seen = Columns(), list[Post](), 0
        self._due, self.trainings, self.seconds = 0.0, 0, 0.0
        self._asked: list[EventSequence] = []
        if every is not None:
            self._recommender = Blended(positives, seed)
            self._recommender.tested = self._count  # type: ignore[method-assign]
            self.prequential = self._recommender.prequential

    def run(self, folder: Folder, limit: int | None, show: Any) -> dict[str, Any]:
        rows = (row.value for row in folder.posts() if isinstance(row.value, dict))
        self._posts = [decode_post(msgspec.json.encode(row)) for row in rows]
        return super().run(folder, limit, show)

    def _add(self, event: Interaction) -> None:
        if self._every is None:
            super()._add(event)
            return
        at = event.occurred_at.timestamp() if event.occurred_at is not None else 0.0
        if self._seen >= FIRST and at >= self._due:
            self._flush()
            self._train(at)
        state, before = self._users.get(event.username, UserState()), len(self._met)
        events = of_history(state.history)
        super()._add(event)
        if len(self._met) > before:
            self._asked.append(events)
        value = 1.0 if event.interaction_value is None else event.interaction_value
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
        """On all events so far: those before `now`."""
        began = time.process_time()
        known = dict.fromkeys((post.id for post in self._posts), True)
        part = self._columns.interactions(known, self._posts)
        part = part.where(np.argsort(part.at, kind="stable"))
        model = Deep(DIM, self._positives, Job(Plan(), self._folder_of_states))
        assert isinstance(self._recommender, Blended)
        self._recommender.take(model.fit(part, DEFAULT_WEIGHTS, 0), part.post_ids)
        assert self._every is not None
        self._due, self.trainings = now + self._every * DAY, self.trainings + 1
        seconds = time.process_time() - began
        self.seconds += seconds
        figures = self.prequential.report()
        recall = figures["recall@10"]
        print(f"trained on {len(part):,} events in {seconds:.1f} s; so far recall@10 {recall:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name_or_dir")
    parser.add_argument("--positive", action="append")
    parser.add_argument("--score-from", default=0.0, type=float, help="seconds since 1970")
    parser.add_argument("--every", default=1.0, type=float, help="days between two trainings")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--only", choices=["without", "with"])
    parser.add_argument("--data", default=Path(".reelstream"), type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {"every_days": given.every, "limit": given.limit}
    folder = datasets.find(given.name_or_dir, given.data, print)
    for name in [given.only] if given.only else ["without", "with"]:
        with tempfile.TemporaryDirectory() as states:
            every = given.every if name == "with" else None
            run = Streamed(Positives(given.positive or DEFAULT), given.score_from, 1, every, Path(states))
            found = run.run(folder, given.limit, lambda done: None)
        report[name] = {key: found[key] for key in ("scored", "recall@10", "ndcg@10", "coverage")}
        report[name] |= {"trainings": run.trainings, "training_seconds": round(run.seconds, 1)}
        if name == "with":
            report[name]["deep_alone"] = found["by_source"]["deep"]["recall@10"]
        print(name, report[name], flush=True)
    if not given.only:
        report["ratio"] = round(report["with"]["recall@10"] / report["without"]["recall@10"], 4)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
