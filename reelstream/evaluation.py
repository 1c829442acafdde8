"""`evaluate online`: a data set through the code of the workers, without Kafka: test, then learn."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from online_models import user_history
from online_models.positives import Positives
from online_models.prequential import Prequential, Ranked
from online_models.recommender import Recommender
from online_models.sources import NAMES
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES, Interaction
from schemas.posts import decode_post
from schemas.user_state import HistoryEvent, UserState
from streams.learning_writer import LearningWriter, past_of

from .datasets.folder import Folder

BATCH = 500
"""Events that the learner gets at once."""
WARM_UP = 0.1
"""Share of the positives before `score_from` that are ranked, for the blend to learn from."""
Show = Callable[[int], None]


class Evaluation:
    """One run. report: once it is done. prequential: its curve."""

    def __init__(self, positives: Positives, score_from: float, seed: int) -> None:
        self._score_from = score_from
        self._recommender = Recommender(positives, seed=seed)
        self._recommender.tested = self._count  # type: ignore[method-assign]
        self.prequential = self._recommender.prequential
        self._users: dict[str, UserState] = {}
        self._writer = LearningWriter()
        self._met: list[NDArray[np.int64]] = []
        self._skipped = 0
        self._learning = 0.0

    def run(self, folder: Folder, limit: int | None, show: Show) -> dict[str, Any]:
        """Learns the posts, then event by event. Raises ReelstreamError for a folder that can't be read."""
        posts = [decode_post(msgspec.json.encode(row.value)) for row in folder.posts() if isinstance(row.value, dict)]
        self._recommender.learn_posts([(post.id, post) for post in posts])
        began, count = time.perf_counter(), 0
        for event in self._valid(folder, limit):
            self._add(event)
            count += 1
            if count % BATCH == 0:
                self._flush()
                show(count)
        self._flush()
        show(count)
        seconds = time.perf_counter() - began
        return {
            "events": count, "skipped": self._skipped, **self.prequential.report(),
            "events_per_second": round(count / seconds, 1),
            "scored_per_second": round(self.prequential.scored / seconds, 1),
            "weights": self._recommender.blend.weights(list(NAMES)), "drifts": self._recommender.hit_rate.drifts,
        }  # fmt: skip

    def _valid(self, folder: Folder, limit: int | None) -> Iterator[Interaction]:
        seen: set[tuple[str, str | None]] = set()
        for number, event in enumerate(folder.events()):
            if number == (limit if limit is not None else math.inf):
                return
            if not isinstance(event.value, Interaction) or (event.value.username, event.value.event_id) in seen:
                self._skipped += 1
                continue
            seen.add((event.value.username, event.value.event_id))
            yield event.value

    def _add(self, event: Interaction) -> None:
        """What stage 1 does with an event."""
        at = event.occurred_at.timestamp() if event.occurred_at is not None else 0.0
        code, value = TYPE_CODES[event.interaction_type], round((event.interaction_value or 0.0) * 1000)
        past_event = HistoryEvent(round(at * 1000), event.post_id, code, value)
        state = self._users.setdefault(event.username, UserState())
        past = past_of(state, event.post_id)
        met = state.older_seen, state.older_excluded, state.history.posts
        self._met.append(np.concatenate([np.array(part, np.int64) for part in met]))
        effect = user_history.learn_one(state, past_event, DEFAULT_WEIGHTS)
        if effect.delta:
            self._writer.add(event.username, at, past_event, effect, past)
        else:
            self._met.pop()

    def _flush(self) -> None:
        if not self._met:
            return
        batch = self._writer.batch()
        self._recommender.sample = 1.0 if batch.at[-1] >= self._score_from else WARM_UP
        self._recommender.learn_many(batch, self._met.__getitem__)
        self._writer, self._met = LearningWriter(), []

    def _count(self, ranked: Ranked) -> None:
        if ranked.at >= self._score_from:
            self.prequential.add(ranked)


def plot(prequential: Prequential, path: str) -> None:
    """Draws the curves into a PNG. Raises ReelstreamError without matplotlib."""
    from schemas.errors import ReelstreamError

    try:
        import matplotlib
    except ImportError:
        raise ReelstreamError("--plot needs matplotlib: pip install 'reelstream[evaluate]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 5), layout="constrained")
    curve, names = prequential.curve, prequential.names
    best_first = sorted(range(len(names)), key=lambda number: -float(curve[:, number].sum()))
    for place, number in enumerate(best_first):
        blend = names[number] == "blend"
        axes.plot(
            np.arange(1, len(curve) + 1), curve[:, number], label=names[number], linewidth=2.5 if blend else 1.2,
            color="black" if blend else pyplot.get_cmap("tab20")(place), zorder=3 if blend else 2,
        )  # fmt: skip
    axes.set(xlabel="thousand scored events", ylabel="recall@10, each thousand", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, title="best first")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
