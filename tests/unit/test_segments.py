"""Popularity by segment: what people in a category or of a mood come to, and how a new post begins there."""

import msgspec
import numpy as np
import pytest

from api.catalogue import Catalogue
from api.learnt import Learnt, LearntPosts
from api.segments import popularity
from api.stages import Query
from online_models.click_through import PRIOR, beta
from online_models.features import FEATURES
from online_models.post_table import TAG_CODES
from schemas.item_state import ItemState
from schemas.learnt import Weights
from schemas.parameters import MOODS
from schemas.posts import decode_post

NOW = 1_800_000_000.0


@pytest.fixture
def query() -> Query:
    """Posts 1 to 6: odd ones are sport and energetic, even ones food and calm; 5 and 6 are new."""
    catalogue = Catalogue()
    for post_id in range(1, 7):
        row = {"id": post_id, "category": ("food", "sport")[post_id % 2], "mood": ("calm", "energetic")[post_id % 2]}
        catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))
        hour, week = (8.0, 1.0) if post_id < 3 else (1.0, 9.0)
        if post_id < 5:
            catalogue.set_states([post_id], [ItemState(decayed=[hour, 3.0, week], at=NOW)])
    posts = LearntPosts(catalogue, 5 * 2 + 3)
    width = len(FEATURES)
    linear, inner, outer = np.zeros(width, np.float32), np.zeros((2, width + 1), np.float32), np.zeros(2, np.float32)
    weights = Weights([*FEATURES], linear, inner, outer, np.ones(TAG_CODES, np.float32), 0.5, 1.0)
    return Query("", NOW, catalogue, online=Learnt(1, posts, weights))


def ranked(query: Query, **segment: object) -> list[int]:
    scores = popularity(query, **segment)  # type: ignore[arg-type]
    order = np.argsort(-scores, kind="stable")
    return [int(query.catalogue.ids[slot]) for slot in order if scores[slot] > 0]


def test_the_best_of_a_category_and_of_a_mood_at_each_half_life(query: Query) -> None:
    sport = query.catalogue.category_codes["sport"]
    assert ranked(query, category=sport, window="1h") == [1, 3, 5]
    assert ranked(query, category=sport, window="7d") == [3, 1, 5]
    assert ranked(query, mood=MOODS.index("calm"), window="1h") == [2, 4, 6]
    assert ranked(query, category=sport, mood=MOODS.index("calm")) == []
    assert set(ranked(query)) == {1, 2, 3, 4, 5, 6}


def test_without_a_learner_popularity_is_what_there_is(query: Query) -> None:
    query.online = None
    assert ranked(query, mood=MOODS.index("energetic"), window="1h") == [1, 3, 5]


def test_a_new_post_begins_with_the_click_through_of_its_category(query: Query) -> None:
    posts = query.online.posts  # type: ignore[union-attr]
    posts.shown[:4], posts.taken[:4] = 500.0, np.array([[250.0], [5.0], [250.0], [5.0]])
    scores = dict(zip(query.catalogue.ids[:6].tolist(), popularity(query, window="1h").tolist(), strict=True))
    assert scores[5] > 5 * scores[6]
    assert scores[1] > 5 * scores[2], "equally popular, but shown more often for it"


def test_a_prior_of_few_impressions_is_that_of_all() -> None:
    shown, taken, category = np.array([1000.0, 0.0, 0.0]), np.array([100.0, 0.0, 0.0]), np.array([0, 0, -1])
    clicks, others = beta(shown, taken, category)
    means = clicks / (clicks + others)
    overall = 101 / 1020
    assert means[2] == pytest.approx(overall), "of its category nothing is known"
    assert means[1] == pytest.approx((PRIOR * overall + 100) / (PRIOR + 1000))
    assert (clicks + others)[1:] == pytest.approx([PRIOR, PRIOR])
