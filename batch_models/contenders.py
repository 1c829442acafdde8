"""Who takes part in `evaluate batch`: our models, and the yardsticks that they are held against. One line each."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from online_models.positives import Positives
from schemas.errors import ReelstreamError
from schemas.settings import Settings

from .als import Als
from .als import NotInstalled as NotInstalled
from .collaborative import Collaborative
from .ease import Ease
from .item_based import ItemBased
from .model import Model
from .popularity import Popularity
from .protocols import Questions, Show
from .recent_popularity import RecentPopularity
from .succession import Succession
from .svd import Svd
from .user_based import UserBased

Make = Callable[[Settings, Positives], Model]
"""A model that is to find what the rules call positive."""


def _deep(settings: Settings, positives: Positives) -> Model:
    from .deep_ranker import Deep  # torch takes two seconds, which nobody else should wait

    return Deep(settings.embedding_dim, positives)


def _graph(settings: Settings, positives: Positives) -> Model:
    from .graph import Graph

    return Graph(settings.embedding_dim, positives)


MODELS: dict[str, Make] = {
    "deep": _deep,
    "graph": _graph,
    "collaborative": lambda settings, aim: Collaborative(settings.embedding_dim, aim),
    "succession": lambda settings, aim: Succession(aim),
    "item-based": lambda settings, _: ItemBased("item-based", 0.8),
    "user-based": lambda settings, aim: UserBased(aim),
    "recent-popularity": lambda settings, aim: RecentPopularity(aim),
    "svd": lambda settings, _: Svd(settings.embedding_dim),
}
YARDSTICKS: dict[str, Make] = {
    "popularity": lambda settings, _: Popularity(),
    "item-knn": lambda settings, _: ItemBased("item-knn", None),
    "ease-200": lambda settings, _: Ease(200.0),
    "ease-1000": lambda settings, _: Ease(1000.0),
    "als-64": lambda settings, _: Als(64, 60.0),
    "als-128": lambda settings, _: Als(128, 60.0),
}


def chosen(names: Iterable[str]) -> dict[str, Make]:
    """Those named, all when none is; popularity always. Raises ReelstreamError for a name that is none."""
    every = {**MODELS, **YARDSTICKS}
    wanted = list(names) or list(every)
    if unknown := [name for name in wanted if name not in every]:
        raise ReelstreamError(f"{', '.join(unknown)}: no such model. There is: {', '.join(every)}.")
    return {name: every[name] for name in dict.fromkeys([*wanted, "popularity"])}


def trial(model: Model, questions: Questions, weights: Mapping[Any, float], seed: int, show: Show) -> dict[str, Any]:
    """Trains, asks, and reports: figures with intervals, seconds of training and of scoring, users that were asked."""
    began = time.perf_counter()
    fitted = model.fit(questions.train, weights, seed)
    trained = time.perf_counter()
    answers = questions.ask(fitted, show)
    return {
        **answers.report(seed), "users": len(questions.users), "train_seconds": round(trained - began, 2),
        "score_seconds": round(time.perf_counter() - trained, 2),
    }  # fmt: skip
