"""Who takes part in `evaluate batch`: our models, and the yardsticks that they are held against. One line each."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from online_models.positives import Positives
from schemas.errors import ReelstreamError
from schemas.settings import Settings

from .als import Als
from .als import NotInstalled as NotInstalled
from .category_popularity import CategoryPopularity, UserCategories
from .collaborative import Collaborative
from .content_embedding import ContentEmbedding
from .ease import Ease
from .item_based import ItemBased
from .model import Model
from .new_posts import NewPosts
from .popularity import Popularity
from .protocols import Questions, Show
from .recent_popularity import RecentPopularity
from .succession import Succession
from .svd import Svd
from .user_based import UserBased

Make = Callable[[Settings, Positives], Model]
"""A model that is to find what the rules call positive."""


def _deep(settings: Settings, positives: Positives) -> Model:
    from .course import Job, Plan  # torch takes two seconds, which nobody else should wait
    from .deep_ranker import Deep

    return Deep(settings.embedding_dim, positives, Job(Plan(batch=settings.batch_size, rate=settings.learning_rate)))


def _ranker(settings: Settings, positives: Positives) -> Model:
    from .ranker import RankerModel

    return RankerModel()


def _graph(settings: Settings, positives: Positives) -> Model:
    from .graph import Graph

    return Graph(settings.embedding_dim, positives)


MODELS: dict[str, Make] = {
    "deep": _deep,
    "ranker": _ranker,
    "graph": _graph,
    "content": lambda settings, aim: ContentEmbedding(settings.embedding_dim, aim),
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

OF_NEW_POSTS: dict[str, Make] = {
    "category-popularity": lambda _, aim: CategoryPopularity(aim),
    "user-categories": lambda _, aim: UserCategories(aim),
}
"""Yardsticks for posts that nobody has met: of those above only `content` can tell them apart."""


def chosen(names: Iterable[str]) -> dict[str, Make]:
    """Those named, all when none is; popularity always. Raises ReelstreamError for a name that is none."""
    every = {**MODELS, **YARDSTICKS, **OF_NEW_POSTS}
    wanted = list(names) or [*MODELS, *YARDSTICKS]
    if unknown := [name for name in wanted if name not in every]:
        raise ReelstreamError(f"{', '.join(unknown)}: no such model. There is: {', '.join(every)}.")
    return {name: every[name] for name in dict.fromkeys([*wanted, "popularity"])}


def trial(
    model: Model, questions: Questions | NewPosts, weights: Mapping[Any, float], seed: int, show: Show
) -> dict[str, Any]:
    """Trains, asks, and reports: figures with intervals, seconds of training and of scoring, users that were asked."""
    began = time.perf_counter()
    fitted = model.fit(questions.train, weights, seed)
    trained = time.perf_counter()
    answers = questions.ask(fitted, show)
    return {
        **answers.report(seed), "users": len(questions.users), "train_seconds": round(trained - began, 2),
        "score_seconds": round(time.perf_counter() - trained, 2),
    }  # fmt: skip
