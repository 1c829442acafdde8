"""Pages and the clicks on them: which belongs to which, and what the blend learns from them in spite of positions."""

from array import array
from collections.abc import Callable

import numpy as np
import pytest

from online_models import feed_rates, shown_lists
from online_models.blend import START, Blend
from online_models.click_through import WEEK, ClickThrough, beta
from online_models.decayed_counters import HALF_LIVES
from online_models.examination import MOST_WEIGHT, click_weight, examination
from online_models.feed_rates import FeedRates
from online_models.shown_lists import WINDOW, Click, Page, ShownLists

AT = 1_700_000_000.0
SOURCES, POSTS, SHOWN = 4, 60, 20


def page(at: float, *posts: int, position: int = 0) -> Page:
    return Page(at, position, array("q", posts), {"svd": [0]})


def place(found: Click | None) -> int | None:
    return found and found.place


def test_a_positive_belongs_to_the_newest_page_that_showed_its_post_before() -> None:
    lists = ShownLists()
    assert lists.open(1, page(AT, 10, 11))
    assert lists.open(1, page(AT + 60, 11, 12, position=20))
    assert not lists.open(1, page(AT + 60, 11, 12)), "it was told twice"
    assert lists.open(2, page(AT, 13))
    found = lists.take(1, 11, AT + 90)
    assert found is not None
    assert (found.page.position, found.place, found.features) == (20, 0, None)
    assert found.weight == click_weight(20)
    assert lists.take(1, 11, AT + 95) is None, "one click, however many events"
    assert place(lists.take(1, 10, AT + 90)) == 0
    assert lists.take(1, 13, AT + 90) is None, "another user's page"
    assert lists.take(2, 13, AT + WINDOW + 1) is None
    assert lists.take(2, 13, AT - 100) is None
    assert place(lists.take(2, 13, AT - 30)) == 0, "a clock that is half a minute behind"


def test_a_click_is_told_against_what_was_left_to_take() -> None:
    lists, shown = ShownLists(), page(AT, 10, 11, 12, 13)
    lists.open(1, shown)
    outside = {"svd": np.array([0.5, 2.5, 3.5], np.float16)}
    lists.describe(1, shown, np.array([0, 2, 3]), np.array([[0.0], [2.0], [3.0]], np.float32), outside)
    first, unknown, second = (lists.take(1, post, AT + 1) for post in (12, 11, 13))
    assert first is not None
    assert unknown is not None
    assert second is not None
    assert (first.features.tolist(), first.chosen) == ([[0.0], [2.0], [3.0]], 1)  # type: ignore[union-attr]
    assert (unknown.features, unknown.outside) == (None, {})
    assert [click.outside["svd"].tolist() for click in (first, second)] == [[0.5, 2.5, 3.5], [0.5, 3.5]]
    assert (second.features.tolist(), second.chosen) == ([[0.0], [3.0]], 1)  # type: ignore[union-attr]


def test_memory_is_bounded_and_the_newest_pages_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown_lists, "MOST_PAGES", 50)
    monkeypatch.setattr(shown_lists, "MOST_FEATURES", 30)
    lists = ShownLists()
    pages = [page(AT + number, 1 + number, 500) for number in range(200)]
    for number, each in enumerate(pages):
        lists.open(number % 7, each)
        lists.describe(number % 7, each, np.array([0, 1]), np.zeros((2, 3), np.float32))
    assert len(lists) == 50
    assert sum(each.features is not None for each in pages) == 15
    assert lists.take(199 % 7, 200, AT + 200) is not None
    assert lists.take(0, 1, AT + 200) is None
    lists.open(0, page(AT + WINDOW + 500, 1))
    assert len(lists) == 1
    assert [len(pages) for pages in lists._of_user.values()] == [1]


def test_click_through_of_feeds_by_position_and_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_rates, "MOST_SOURCES", 3)
    rates = FeedRates()
    assert rates.rates() == {}
    for number in range(4):
        shown = Page(
            AT + number, 0, array("q", range(1, 13)), {"svd": [0, 1, 5], "popular": [5, 11], f"x{number}": [0]}
        )
        rates.add_page(shown)
        rates.add_click(shown, 5)
    rates.add_click(shown, 0)
    rates.add_page(page(AT, *range(50, 70), position=12))
    found = rates.rates()
    assert found.pop("ctr") == pytest.approx(5 / 68)
    assert found.pop("ctr_position_1_3") == pytest.approx(1 / 12)
    assert found.pop("ctr_position_4_10") == pytest.approx(4 / 28)
    assert (found.pop("ctr_position_11_20"), found.pop("ctr_position_more")) == (0, 0)
    assert found.pop("ctr_source_svd") == pytest.approx(5 / 13)
    assert found == {"ctr_source_popular": 0.5, "ctr_source_x0": 0.0}, "the names of others are not counted"


def world(draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Candidates: what sources say of them, and how likely users want them: only the first source knows."""
    features = draws.normal(0.0, 1.0, (POSTS, SOURCES)).astype(np.float32)
    return features, 1.0 / (1.0 + np.exp(1.5 - 1.5 * features[:, 0]))


def simulated(pages: int, weight: Callable[[Click], float]) -> Blend:
    """A feed that ranks by the second source, users who see less of what is low, and what the blend makes of it."""
    draws, lists, blend = np.random.default_rng(1), ShownLists(), Blend(np.full(SOURCES, START, np.float32))
    for number in range(pages):
        features, wanted = world(draws)
        shown = np.argsort(-features[:, 1])[:SHOWN]
        told = page(AT + number, *shown.tolist())
        lists.open(7, told)
        lists.describe(7, told, np.arange(SHOWN), features[shown])
        clicked = draws.random(SHOWN) < examination(np.arange(SHOWN)) * wanted[shown]
        for post in draws.permutation(shown[clicked]).tolist():
            found = lists.take(7, post, AT + number + 1)
            assert found is not None
            assert found.features is not None
            blend.learn_one(found.features, found.chosen, weight(found))
    return blend


def quality(blend: Blend) -> float:
    """Of the ten posts that it ranks first, against the best ten: how many users want."""
    draws, found, best = np.random.default_rng(2), 0.0, 0.0
    for _ in range(200):
        features, wanted = world(draws)
        found += wanted[np.argsort(-blend.predict_many(features))[:10]].sum()
        best += np.sort(wanted)[-10:].sum()
    return found / best


def test_the_blend_finds_the_source_that_predicts_clicks_in_spite_of_where_posts_stood() -> None:
    equal = quality(Blend(np.full(SOURCES, START, np.float32)))
    biased, learnt = simulated(700, lambda _: 1.0), simulated(700, lambda click: click.weight)
    assert equal < 0.75
    assert quality(learnt) > 0.93
    assert quality(learnt) > quality(biased) + 0.03
    # The second source put posts where they were seen, and that is all it did for them.
    assert learnt.linear[0] > 2 * max(learnt.linear[1:])
    assert biased.linear[1] > 0.5 * biased.linear[0]


def test_few_clicks_do_not_make_the_blend_worse_than_equal_weights() -> None:
    equal = quality(Blend(np.full(SOURCES, START, np.float32)))
    for pages in (1, 3, 10, 30):
        assert quality(simulated(pages, lambda click: click.weight)) > equal - 0.02


def test_the_weight_of_a_click_is_one_on_top_and_clipped() -> None:
    weights = [click_weight(position) for position in (0, 2, 6, 30, 10**6)]
    assert weights == pytest.approx([1.0, 2.0, 3.0, 5.0, MOST_WEIGHT])
    assert [1.0 / each for each in weights[:3]] == pytest.approx(examination(np.array([0, 2, 6])).tolist())


def test_click_through_does_not_depend_on_where_posts_stood_nor_on_when_clicks_come() -> None:
    draws, model = np.random.default_rng(3), ClickThrough(capacity=SHOWN)
    late: list[tuple[int, float]] = []
    for number in range(20_000):
        order = np.arange(SHOWN)  # slot 0 always stands on top
        model.learn_shown(order, 0, AT + number)
        clicked = np.flatnonzero(draws.random(SHOWN) < 0.2 * examination(order))
        late += [(int(slot), AT + number) for slot in clicked]
    for slot, at in late:  # long after
        model.learn_taken(slot, at)
    shown, taken = (counts[:, WEEK] for counts in model.counts(np.arange(SHOWN)))
    assert shown[0] > 3 * shown[-1]
    assert np.abs(taken / shown - 0.2).max() < 0.02
    clicks, rest = beta(shown, taken, np.zeros(SHOWN, np.int64))
    assert np.abs(clicks / (clicks + rest) - 0.2).max() < 0.02


def test_impressions_decay_and_years_later_are_finite() -> None:
    model = ClickThrough(capacity=3)
    model.learn_shown(np.array([0, -1, 1]), 0, AT)
    model.learn_shown(np.array([2]), 0, AT + HALF_LIVES[WEEK])
    after_a_week = model.counts(np.arange(3))[0].round(4)
    assert after_a_week[:, WEEK].tolist() == [0.5, 0.25, 1.0]
    assert after_a_week[:, 1].tolist() == [round(0.5**7, 4), round(0.5**8, 4), 1.0]
    assert after_a_week[:, 0].tolist() == [0.0, 0.0, 1.0]
    model.learn_shown(np.array([2]), 0, AT + 3e9)
    model.learn_taken(0, AT)
    assert model.counts(np.arange(3))[0].round(3).tolist() == [[0.0] * 3, [0.0] * 3, [1.0] * 3]
    model.start(2)
    other = ClickThrough(capacity=5)
    other.load(model.state(3))
    assert other.counts(np.arange(5))[0].tolist() == [*model.counts(np.arange(3))[0].tolist(), [0.0] * 3, [0.0] * 3]
    assert np.isfinite(other.taken).all()


def test_click_through_as_an_estimator() -> None:
    """What tests/unit/test_online_contracts.py asks of those that rank."""
    model, draws, slots = ClickThrough(capacity=50), np.random.default_rng(4), np.arange(50)
    for number in range(5_000):
        model.learn_shown(draws.integers(-1, 50, 20), int(draws.integers(100)), AT + 3_600.0 * number)
        model.learn_taken(int(draws.integers(50)), AT + 3_600.0 * number - draws.integers(10**7))
    clone, before = model.clone(), [column.tolist() for column in model.counts(slots)]
    assert [column.tolist() for column in clone.counts(slots)] == [[[0.0] * 3] * 50] * 2
    assert [column.tolist() for column in model.counts(slots)] == before
    for shown, taken in zip(*(counts.T for counts in model.counts(slots)), strict=True):
        assert np.isfinite(beta(shown, taken, slots % 7)).all()
    assert model.shown.shape == model.taken.shape == (3, 50)
