"""SVD on planted tastes: it finds groups that popularity cannot see, from the past alone; else it is refused."""

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from batch_models import svd
from batch_models.dataset import Columns, Interactions, Row
from batch_models.evaluate import Trial, fold_in
from batch_models.model import Published
from batch_models.refresh import NotNow, Refused, Serving, train
from schemas.events import DEFAULT_WEIGHTS
from schemas.settings import Settings

GROUPS, POSTS_A_GROUP, USERS = 4, 20, 80


def planted(events: int = 1600, tastes: bool = True) -> Interactions:
    """Users of a group like the posts of that group, all equally; without tastes, everybody likes the low ids."""
    draw = random.Random(5)
    columns = Columns()
    posts = GROUPS * POSTS_A_GROUP
    for at in range(events):
        user = draw.randrange(USERS)
        if tastes:
            post = 1 + (user % GROUPS) * POSTS_A_GROUP + draw.randrange(POSTS_A_GROUP)
        else:
            post = 1 + int(posts * draw.random() ** 3)
        columns.extend([Row(f"u{user}", post, "like", 1.0, float(at))])
    return columns.interactions(dict.fromkeys(range(1, posts + 1), True))


def settings() -> Settings:
    return Settings(_env_file=None, embedding_dim=16)


def test_it_finds_planted_groups_that_popularity_cannot_see() -> None:
    trained = train(svd, "svd", planted(), settings())
    assert trained.model.recall > 0.7
    assert trained.popularity.recall < 0.3
    assert trained.metrics()["recall@10"] == trained.model.recall


def test_what_comes_after_the_split_changes_no_vector_and_no_choice() -> None:
    whole = planted()
    before, after = whole.split(0.9)
    other = replace(
        whole,
        posts=np.concatenate([before.posts, (after.posts + 20) % 80]).astype(np.int32),
        values=np.concatenate([before.values, np.zeros(len(after), np.float32)]),
    )
    again, _ = other.split(0.9)
    choice = svd.choose(before, DEFAULT_WEIGHTS, 16)
    assert choice == svd.choose(again, DEFAULT_WEIGHTS, 16)
    assert np.array_equal(svd.fit(before, DEFAULT_WEIGHTS, choice), svd.fit(again, DEFAULT_WEIGHTS, choice))


def test_the_published_vectors_know_the_latest_events() -> None:
    whole = planted()
    new = replace(whole, posts=np.where(np.arange(len(whole)) >= 1595, 7, np.where(whole.posts == 7, 8, whole.posts)))
    before, _ = new.split(0.9)
    choice = svd.Choice(dim=8)
    assert not svd.fit(before, DEFAULT_WEIGHTS, choice)[7].any()
    assert svd.fit(new, DEFAULT_WEIGHTS, choice)[7].any()


def test_a_model_that_does_not_beat_popularity_is_refused_with_both_figures() -> None:
    with pytest.raises(Refused, match=r"recall@10 0\.\d+ against 0\.\d+ of popularity"):
        train(svd, "svd", planted(tastes=False), settings())


def test_too_little_to_learn_from_is_said_in_a_sentence() -> None:
    with pytest.raises(NotNow, match="499 interactions, 500 are needed"):
        train(svd, "svd", planted(499), settings())
    few = planted()
    with pytest.raises(NotNow, match="users have a history"):
        train(svd, "svd", replace(few, users=few.users % 10), settings())


def test_vectors_are_no_longer_than_allowed_and_the_same_every_time() -> None:
    before, _ = planted().split(0.9)
    choice = svd.choose(before, DEFAULT_WEIGHTS, 4)
    first, again = (svd.fit(before, DEFAULT_WEIGHTS, choice) for _ in range(2))
    assert first.shape == (80, 4)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)


def test_a_choice_is_made_on_the_newest_part_of_the_past() -> None:
    before, after = planted().split(0.9)
    choice = svd.choose(before, DEFAULT_WEIGHTS, 64)
    figures = Trial(before, after, DEFAULT_WEIGHTS).figures(fold_in(svd.fit(before, DEFAULT_WEIGHTS, choice)))
    assert choice.dim in svd.DIMS
    assert figures.recall > 0.7


def shuffled() -> SimpleNamespace:
    """SVD with a fault: it learns who liked what from labels that were dealt out anew."""

    def fitted(part: Interactions, *rest: Any) -> Any:
        dealt = np.random.default_rng(3).permutation(part.users)
        return svd.fitted(replace(part, users=dealt), *rest)

    return SimpleNamespace(choose=svd.choose, fitted=fitted)


def unequal(events: int = 3_000, users: int = 150, posts: int = 400) -> Interactions:
    """Groups as in `planted`, of many posts that are not equally liked: popularity knows something, tastes more."""
    draw, columns = random.Random(5), Columns()
    for at in range(events):
        user = draw.randrange(users)
        post = int(posts / GROUPS * draw.random() ** 3) * GROUPS + user % GROUPS
        columns.extend([Row(f"u{user}", 1 + post, "like", 1.0, float(at))])
    return columns.interactions(dict.fromkeys(range(1, posts + 1), True))


def test_a_model_trained_on_shuffled_labels_is_refused() -> None:
    assert train(svd, "svd", unequal(), settings()).model.recall > 0.1
    with pytest.raises(Refused, match=r"recall@10 0\.\d+ against 0\.\d+ of popularity.*no more than chance"):
        train(shuffled(), "svd", unequal(), settings())  # type: ignore[arg-type]


def test_what_is_worse_than_the_version_in_service_is_refused_and_what_is_as_good_is_not() -> None:
    whole = planted()
    before, _ = whole.split(0.8)
    good = svd.fit(before, DEFAULT_WEIGHTS, svd.choose(before, DEFAULT_WEIGHTS, 16))
    serving = Serving(Published(before.post_ids, good, b""), float(before.at[-1]))
    blurred = good + np.random.default_rng(1).normal(0, good.std() * 1.5, good.shape)
    half_as_good = SimpleNamespace(
        choose=svd.choose, serves=svd.serves, fitted=lambda *_: svd.FoldedIn(blurred, DEFAULT_WEIGHTS)
    )
    with pytest.raises(Refused, match=r"against 0\.\d+ of the version in service"):
        train(half_as_good, "svd", whole, settings(), serving)  # type: ignore[arg-type]
    assert train(svd, "svd", whole, settings(), serving).model.recall > 0.7
    nothing_new = serving._replace(until=float(whole.at[-1]))
    assert train(half_as_good, "svd", whole, settings(), nothing_new).model.recall > 0.1  # type: ignore[arg-type]


def test_vectors_in_service_are_found_again_among_other_posts() -> None:
    published = Published(np.array([2, 5, 9]), np.array([[1], [2], [3]], np.float32), b"")
    assert published.of(np.array([1, 2, 5, 7])).ravel().tolist() == [0, 1, 2, 0]
