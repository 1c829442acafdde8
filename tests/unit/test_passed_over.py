"""Pages as negatives: which posts they are, that nothing later tells, and that they teach what meetings can't."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from batch_models import passed_over
from batch_models.dataset import Columns, Interactions, Row
from batch_models.event_sequences import sequences
from batch_models.passed_over import Passed, PassedOver
from batch_models.ranker import FittedRanker, RankerJob, RankerModel
from batch_models.ranker_training import RankerPlan, meetings
from batch_models.shown_pages import NO_PAGES, ShownPage
from online_models.examination import examination
from online_models.positives import Positives
from online_models.shown_lists import WINDOW
from schemas.events import DEFAULT_WEIGHTS

START = 1_700_000_000.0
LATER = 10 * WINDOW


def log(rows: Iterable[Row], pages: Iterable[ShownPage], posts: int = 40) -> Interactions:
    columns = Columns()
    columns.extend(sorted(rows, key=lambda row: row.at))
    shown = columns.pages()
    shown.extend(sorted(pages, key=lambda page: -page.at))
    return columns.interactions(dict.fromkeys(range(1, posts + 1), True), shown=shown)


def event(user: str, post: int, at: float, kind: str = "like") -> Row:
    return Row(user, post, kind, 1.0, START + at)


def page(user: str, at: float, posts: list[int], position: int = 0) -> ShownPage:
    return ShownPage(user, START + at, position, posts)


def beside(whole: Interactions, most: int = 20) -> dict[int, dict[int, float]]:
    """Post come to → post of its page passed over → how it counts."""
    found = sequences(whole, Positives())
    places = meetings(found).places
    passed = PassedOver(whole, found, places).beside(np.arange(len(places)), most, np.random.default_rng(1))
    if passed is None:
        return {}
    ids = whole.post_ids
    return {
        int(ids[found.posts[place]]): {
            int(ids[post]): pytest.approx(float(seen)) for post, seen in zip(posts, chances, strict=True) if seen
        }
        for place, posts, chances in zip(places, *passed, strict=True)
        if chances.any()
    }


PAST, END = event("a", 1, 0.0), event("z", 1, LATER)
"""What makes of a second meeting an example, and what makes half an hour go by."""


@pytest.mark.parametrize("at_once", [1, 100])
def test_what_was_shown_beside_and_not_taken_counts_by_its_place(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(passed_over, "AT_ONCE", at_once)
    rows = [PAST, event("a", 7, 105.0), event("a", 9, 140.0, "view"), event("b", 5, 100.0), END]
    pages = [page("a", 100.0, [5, 7, 6, 9], 10), page("b", 100.0, [2, 3])]
    chances = examination(np.array([10, 12]))
    left = {5: chances[0], 6: chances[1]}
    assert beside(log(rows, pages)) == {7: left, 9: left}


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([page("a", 106.0, [7, 6])], {}),  # nothing of it was known then
        ([page("a", 105.0 - WINDOW - 1, [7, 6])], {}),
        ([page("b", 100.0, [7, 6])], {}),
        ([page("a", 100.0, [5, 6])], {}),  # it did not come from there
        ([page("a", 90.0, [7, 5]), page("a", 100.0, [7, 6]), page("a", 106.0, [7, 8])], {7: {6: 0.0}}),
        ([page("a", 100.0, [7, 1, 6])], {7: {6: 0.0}}),  # of what one has met there is nothing to pass over
        ([page("a", 100.0, [7, 99, 6])], {7: {6: 0.0}}),
    ],
)
def test_a_page_is_the_newest_that_showed_the_post_in_the_half_hour_before(
    pages: list[ShownPage], expected: dict[int, dict[int, float]]
) -> None:
    found = beside(log([PAST, event("a", 7, 105.0), END], pages))
    assert {post: {*left} for post, left in found.items()} == {post: {*left} for post, left in expected.items()}


@pytest.mark.parametrize(("after", "left"), [(WINDOW - 1.0, {5}), (WINDOW + 1.0, {5, 6})])
def test_what_is_taken_within_half_an_hour_is_not_passed_over(after: float, left: set[int]) -> None:
    rows = [PAST, event("a", 7, 105.0), event("a", 6, 100.0 + after), END]
    assert {*beside(log(rows, [page("a", 100.0, [5, 6, 7])]))[7]} == left


def test_a_page_of_just_now_is_not_judged_yet() -> None:
    rows = [PAST, event("a", 7, 105.0), event("z", 1, 100.0 + WINDOW - 1.0)]
    assert beside(log(rows, [page("a", 100.0, [5, 6, 7])])) == {}


def test_no_more_are_drawn_than_asked_for_and_of_no_page_nothing_is() -> None:
    whole = log([PAST, event("a", 7, 105.0), event("a", 30, 4000.0), END], [page("a", 100.0, [*range(2, 20)])])
    assert len(beside(whole, 8)[7]) == 8
    found = sequences(whole, Positives())
    places, draw = meetings(found).places, np.random.default_rng(1)
    passed = PassedOver(whole, found, places)
    assert passed.beside(np.flatnonzero(found.posts[places] == 29), 8, draw) is None
    assert draw.random() == np.random.default_rng(1).random()
    both: Passed | None = passed.beside(np.arange(len(places)), 8, draw)
    assert both is not None
    assert both.seen.any(axis=1).sum() == 1


def test_parts_have_the_pages_until_their_last_event_and_forget_them_where_numbers_change() -> None:
    whole = log([PAST, event("a", 7, 105.0), END], [page("a", at, [6, 7]) for at in (50.0, 104.0, 106.0, 10**6)])
    assert (whole.pages.at - START).tolist() == [50.0, 104.0, 106.0]
    assert (whole.part(0, 2).pages.at - START).tolist() == [50.0, 104.0]
    assert whole.part(0, 2).pages.posts.tolist() == [5, 6, 5, 6]
    assert whole.digest() != replace(whole, pages=NO_PAGES).digest()
    assert whole.of_users(np.array([0])).pages is NO_PAGES
    assert whole.of_posts(np.array([6])).pages is NO_PAGES


USERS, POSTS, GROUPS, BAITS = 60, 240, 4, 24
PLAN = RankerPlan(examples=20_000, most_epochs=5, batch=64, others=8)


def shown(seed: int, days: int = 15) -> tuple[list[Row], list[ShownPage]]:
    """A page of ten new posts a day for each user: five baits, which are the first BAITS posts and taken one time in
    ten, and five of the others, of which those of the user's group are taken mostly. As there are few baits, each is
    met as often as a good post."""
    draw, rows, pages = np.random.default_rng(seed), [], []
    met: list[set[int]] = [set() for _ in range(USERS)]
    for day in range(days):
        for user in range(USERS):
            at = 86_400.0 * day + 10.0 * user
            new = [np.setdiff1d(some, [*met[user]]) for some in (np.arange(1, BAITS + 1), np.arange(BAITS + 1, POSTS))]
            posts = draw.permutation(np.concatenate([draw.permutation(some)[:5] for some in new])).tolist()
            pages.append(page(f"u{user}", at, posts))
            for place, post in enumerate(posts):
                if draw.random() < (0.1 if post <= BAITS else 0.7 * (post % GROUPS == user % GROUPS)):
                    rows.append(event(f"u{user}", post, at + 1.0 + place, "view"))
                    met[user].add(post)
    return rows, pages


def chosen_first(fitted: FittedRanker, whole: Interactions) -> float:
    """How often the best of a fresh page, of two baits and a post of each group, is the one of the user's group."""
    draw = np.random.default_rng(9)
    users = np.arange(USERS).repeat(5)
    of_group = np.arange(BAITS, POSTS).reshape(-1, GROUPS).T
    posts = np.array([[*draw.choice(BAITS, 2, False), *(draw.choice(each) for each in of_group)] for _ in users])
    met = [whole.posts[(whole.users == user) & (whole.posts >= BAITS)] % GROUPS for user in range(USERS)]
    groups = np.array([np.bincount(each).argmax() for each in met])[users]
    fitted.scores(whole, users[:1])
    come = fitted.outputs(whole, users, posts)[..., 0]
    return float((come.argmax(axis=1) == 2 + groups).mean())


def test_what_was_passed_over_teaches_what_others_of_the_batch_can_not() -> None:
    whole = log(*shown(3), POSTS)
    with_pages, without = (
        chosen_first(RankerModel(RankerJob(PLAN)).fit(part, DEFAULT_WEIGHTS, 1), part)
        for part in (whole, replace(whole, pages=NO_PAGES))
    )
    assert with_pages > 0.4
    assert without < with_pages - 0.3


def test_pages_of_later_teach_nothing_of_before() -> None:
    rows, pages = shown(3, 5)
    cut, plan = START + 86_400.0 * 4, replace(PLAN, most_epochs=1)
    future = [page(f"u{user}", 86_400.0 * 4 + 1.0, [5, 6, 7]) for user in range(USERS)]
    vectors = []
    for later in ([each for each in pages if each.at > cut], future, []):
        whole = log(rows, [*(each for each in pages if each.at <= cut), *later], POSTS)
        before = whole.part(0, int(np.searchsorted(whole.at, cut)))
        assert len(before.pages.at)
        vectors.append(RankerModel(RankerJob(plan)).fit(before, DEFAULT_WEIGHTS, 1).item_vectors)
    assert np.array_equal(vectors[0], vectors[1])
    assert np.array_equal(vectors[0], vectors[2])
    blind = RankerModel(RankerJob(plan)).fit(replace(before, pages=NO_PAGES), DEFAULT_WEIGHTS, 1).item_vectors
    assert not np.array_equal(vectors[0], blind)
