"""Point-in-time data: what counts as a pair, what is taken back, and that no slice knows of a later one."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from api.query_hydrators.user_state import UserStateHydrator
from api.sources import svd as served
from batch_models.dataset import RECENCY, Columns, Interactions, Row, histories, pairs
from online_models.user_history import learn_one
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.settings import Settings
from schemas.user_state import HISTORY_LENGTH, HistoryEvent, UserState


def interactions(*rows: tuple[str, int, str, float], servable: dict[int, bool] | None = None) -> Interactions:
    """One row a second."""
    columns = Columns()
    columns.extend(Row(*row, at=float(second)) for second, row in enumerate(rows))
    return columns.interactions(servable or {})


def strengths(part: Interactions) -> dict[tuple[int, int], float]:
    found = pairs(part, DEFAULT_WEIGHTS)
    return {
        (int(user), int(part.post_ids[post])): float(value)
        for user, post, value in zip(found.users, found.posts, found.strengths, strict=True)
    }


def test_a_pair_met_often_has_its_largest_strength() -> None:
    rows = interactions(("a", 7, "view", 0.25), ("a", 7, "like", 1), ("a", 7, "view", 1), ("b", 7, "rating", 80))
    assert strengths(rows) == {(0, 7): 3.0, (1, 7): pytest.approx(2.4)}


def test_a_take_back_removes_the_newest_of_its_kind_and_nothing_else() -> None:
    rows = (("a", 7, "view", 0.5), ("a", 7, "like", 1), ("a", 7, "like", 0), ("b", 7, "like", 0), ("c", 8, "like", 1))
    assert strengths(interactions(*rows)) == {(0, 7): 0.5, (2, 8): 3.0}
    twice = (("a", 7, "like", 1), ("a", 7, "like", 1), ("a", 7, "like", 0))
    assert strengths(interactions(*twice)) == {(0, 7): 3.0}


def test_a_view_or_rating_of_zero_is_a_measurement_not_a_take_back() -> None:
    assert strengths(interactions(("a", 7, "view", 1), ("a", 7, "view", 0))) == {(0, 7): 1.0}


def test_a_standing_dislike_outweighs_until_it_is_taken_back() -> None:
    rows = (("a", 7, "like", 1), ("a", 7, "not_interested", 1))
    assert strengths(interactions(*rows)) == {(0, 7): -5.0}
    assert strengths(interactions(*rows, ("a", 7, "not_interested", 0))) == {(0, 7): 3.0}


def test_a_split_never_cuts_through_one_moment() -> None:
    columns = Columns()
    columns.extend(Row("a", post, "view", 1.0, at) for post, at in [(1, 0.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 2.0)])
    before, after = columns.interactions({}).split(0.5)
    assert (len(before), len(after)) == (1, 4)


def test_a_part_is_the_same_whatever_comes_after_it() -> None:
    past = [("a", 7, "like", 1.0), ("b", 8, "like", 1.0)]
    future = [("a", 7, "like", 0.0), ("b", 8, "report", 1.0), ("c", 9, "share", 1.0)]
    before = interactions(*past, *future).part(0, 2)
    assert strengths(before) == strengths(interactions(*past))


def test_a_history_weighs_the_newest_post_most_and_each_once() -> None:
    rows = interactions(
        ("a", 1, "like", 1), ("a", 2, "view", 1), ("a", 3, "report", 1), ("a", 1, "view", 1), ("b", 2, "share", 1)
    )  # fmt: skip
    history = histories(rows, DEFAULT_WEIGHTS).toarray()
    np.testing.assert_allclose(history, [[3.0, RECENCY * 1.0, 0.0], [0.0, 5.0, 0.0]])


def test_a_history_ends_where_the_users_state_ends() -> None:
    many = interactions(*[("a", post, "view", 1.0) for post in range(1, HISTORY_LENGTH + 11)])
    met = histories(many, DEFAULT_WEIGHTS).indices
    assert sorted(many.post_ids[met]) == list(range(11, HISTORY_LENGTH + 11))


class OneState:
    """Redis with the state of one user in it, of whom nothing is learnt."""

    def __init__(self, state: UserState) -> None:
        self._state = state

    async def get_many(self, keys: list[str]) -> list[bytes | None]:
        return [self._state.encode(), None, None]


async def test_a_history_weighs_what_the_api_folds_in() -> None:
    draw = random.Random(3)
    kinds = [("view", 0.25), ("view", 1.0), ("view", 0.0), ("like", 1.0), ("like", 0.0), ("rating", 60.0),
             ("not_interested", 1.0), ("not_interested", 0.0), ("share", 1.0)]  # fmt: skip
    events = [("a", draw.randrange(1, 60), *draw.choice(kinds)) for _ in range(HISTORY_LENGTH - 20)]
    rows, state = interactions(*events), UserState()
    for second, (_, post, kind, value) in enumerate(events):
        learn_one(state, HistoryEvent(second * 1000, post, TYPE_CODES[kind], round(value * 1000)), DEFAULT_WEIGHTS)

    catalogue = SimpleNamespace(slots={post_id: post_id for post_id in rows.post_ids.tolist()})
    query = SimpleNamespace(reader="a", catalogue=catalogue, online=None)
    await UserStateHydrator(OneState(state), Settings(_env_file=None)).hydrate(query)  # type: ignore[arg-type]
    served_weights = served.RECENCY ** np.arange(len(query.history)) * np.maximum(query.strengths, 0.0)

    ours = histories(rows, DEFAULT_WEIGHTS).toarray()[0]
    theirs = np.zeros(len(rows.post_ids))
    theirs[np.searchsorted(rows.post_ids, query.history)] = served_weights
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert np.count_nonzero(ours) > 20


def test_known_posts_say_what_may_be_served_and_without_any_all_that_was_met_may() -> None:
    rows = interactions(("a", 1, "view", 1), ("a", 4, "view", 1), servable={1: True, 2: False, 3: True})
    assert dict(zip(rows.post_ids.tolist(), rows.servable.tolist(), strict=True)) == {
        1: True, 2: False, 3: True, 4: False,
    }  # fmt: skip
    assert interactions(("a", 1, "view", 1)).servable.tolist() == [True]


def test_no_interactions_make_no_pairs() -> None:
    nothing = interactions(servable={1: True})
    assert strengths(nothing) == {}
    assert histories(nothing, DEFAULT_WEIGHTS).nnz == 0
    assert [len(part) for part in nothing.split(0.9)] == [0, 0]
