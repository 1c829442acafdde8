"""Vectors of the deep model in the API: which posts get one by their rows, and that feeds multiply those."""

from typing import Any

import msgspec
import numpy as np
import pytest

from api.caches import Cache
from api.catalogue import Catalogue
from api.deep_vectors import DeepVectors
from api.metrics import Metrics
from online_models.content_tokens import PostTokens
from online_models.event_sequence import EventSequence
from schemas.models import ModelVersion
from schemas.posts import decode_post

DIM, WIDTH = 3, 2


class Towers:
    """A post has as many tokens as its title, a user as many posts that came later as are in the past."""

    of_posts = True
    width = WIDTH

    def posts(self, tokens: PostTokens) -> tuple[np.ndarray, np.ndarray]:
        count = np.count_nonzero(tokens.text, axis=1)[:, None].astype(np.float32)
        return np.repeat(count, DIM, axis=1), np.ones((len(count), WIDTH), np.float32)

    def users(self, posts: np.ndarray, *given: Any) -> np.ndarray:
        return np.repeat(given[-1].sum(axis=(1, 2))[:, None] / WIDTH, DIM, axis=1).astype(np.float32)


def rows(catalogue: Catalogue, titles: dict[int, str]) -> None:
    for post_id, title in titles.items():
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id, "title": title})))


def made(towers: Any) -> DeepVectors:
    """Published are posts 1 and 3."""
    version = ModelVersion(model="deep", version="v", created_at=0.0, dim=DIM, items=2, chunks=1, metrics={})
    users: Cache[Any] = Cache("user_embeddings", 60.0, 10_000, Metrics())
    return DeepVectors(version, np.array([1, 3]), -np.ones((2, DIM), np.float32), towers, users)


def follow(model: DeepVectors, catalogue: Catalogue) -> int:
    slots = model.pending(catalogue)
    if len(slots):
        model.put(catalogue, slots, catalogue.revisions[slots], *model.embed([catalogue.posts[slot] for slot in slots]))
    return len(slots)


def scores(model: DeepVectors, catalogue: Catalogue) -> dict[int, float]:
    """What feeds take: all of those that may be among the best, −∞ for others."""
    found = model.towards(catalogue, np.ones(DIM, np.float32))
    best, every = np.empty(catalogue.size, np.int32), np.ones(catalogue.size, np.bool_)
    slots = best[: found.best(every, best)]
    scores = np.empty(len(slots))
    found.write(slots, slots, scores)
    return dict.fromkeys(catalogue.ids[: catalogue.size].tolist(), -np.inf) | dict(
        zip(catalogue.ids[slots].tolist(), scores.tolist(), strict=True)
    )


def test_what_came_is_scored_by_its_row_and_what_was_published_by_the_training() -> None:
    catalogue, model = Catalogue(2), made(Towers())
    rows(catalogue, {1: "one", 2: "two", 3: "three", 4: ""})
    assert scores(model, catalogue)[2] == -np.inf
    assert follow(model, catalogue) == 2
    first = scores(model, catalogue)
    assert (first[1], first[3], first[4]) == (pytest.approx(-DIM), pytest.approx(-DIM), -np.inf)
    assert first[2] > 0
    rows(catalogue, {2: "two and more", 3: "three and more", 5: "five"})
    assert follow(model, catalogue) == 2
    second = scores(model, catalogue)
    assert second[3] == pytest.approx(-DIM)
    assert second[2] > first[2]
    assert second[5] > 0
    rows(catalogue, {2: ""})
    assert follow(model, catalogue) == 1
    assert scores(model, catalogue)[2] == -np.inf
    assert follow(model, catalogue) == 0


def test_a_post_that_came_later_counts_in_a_users_past_once_it_has_a_vector() -> None:
    catalogue, model = Catalogue(2), made(Towers())
    rows(catalogue, {1: "one", 2: "two"})
    four = np.array([1, 2, 2, 7])
    past = EventSequence(four, np.zeros(4, np.int64), np.ones(4, np.float32), np.zeros(4, np.int64))
    assert model.user(catalogue, past).tolist() == [0.0] * DIM
    follow(model, catalogue)
    assert model.user(catalogue, past).tolist() == [2.0] * DIM


def test_a_version_without_a_tower_for_posts_serves_as_it_did() -> None:
    catalogue, towers = Catalogue(2), Towers()
    towers.of_posts = False
    model = made(towers)
    rows(catalogue, {1: "one", 2: "two"})
    assert follow(model, catalogue) == 0
    assert scores(model, catalogue) == {1: pytest.approx(-DIM), 2: -np.inf}
