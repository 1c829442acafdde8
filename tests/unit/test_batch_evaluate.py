"""Figures by hand: full ranking, what is left out of it, and its means over users."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from batch_models.dataset import Columns, Interactions, Row
from batch_models.evaluate import Score, Trial, fold_in
from schemas.events import DEFAULT_WEIGHTS


def slices(
    before: list[tuple[str, int, str]], after: list[tuple[str, int, str]], posts: dict[int, bool]
) -> tuple[Interactions, Interactions]:  # fmt: skip
    columns = Columns()
    columns.extend(Row(user, post, kind, 1.0, float(at)) for at, (user, post, kind) in enumerate(before + after))
    whole = columns.interactions(posts)
    return whole.part(0, len(before)), whole.part(len(before), len(whole))


def everyone(scores: list[float]) -> Score:
    def score(history: sp.csr_matrix) -> NDArray[np.float32]:
        return np.tile(np.array(scores, np.float32), (history.shape[0], 1))

    return score


POSTS = dict.fromkeys(range(1, 21), True)


def test_recall_and_ndcg_are_those_computed_by_hand() -> None:
    trial = Trial(*slices([("a", 1, "like")], [("a", 3, "like"), ("a", 20, "like")], POSTS), DEFAULT_WEIGHTS)
    figures = trial.figures(everyone([20.0 - n for n in range(20)]))
    # 1 was met, so 3 is second and 20 is nowhere.
    ideal = 1 + 1 / np.log2(3)
    assert figures.recall == pytest.approx(1 / 2)
    assert figures.ndcg == pytest.approx((1 / np.log2(3)) / ideal)
    assert figures.users == 1


def test_ten_hits_are_all_there_can_be() -> None:
    after = [("a", post, "like") for post in range(2, 15)]
    trial = Trial(*slices([("a", 1, "like")], after, POSTS), DEFAULT_WEIGHTS)
    figures = trial.figures(everyone([20.0 - n for n in range(20)]))
    assert (figures.recall, figures.ndcg) == (pytest.approx(1), pytest.approx(1))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([("b", 1, "like")], [("a", 2, "like")]),
        ([("a", 1, "like")], [("a", 1, "share")]),
        ([("a", 1, "like")], [("a", 2, "report")]),
        ([("a", 1, "report")], [("a", 2, "like")]),
        ([("a", 1, "like")], [("a", 30, "like")]),
    ],
    ids=["no history", "met before", "disliked", "only dislikes before", "not servable"],
)
def test_a_user_is_asked_only_with_a_history_and_something_new_to_find(
    before: list[tuple[str, int, str]], after: list[tuple[str, int, str]]
) -> None:
    assert Trial(*slices(before, after, POSTS), DEFAULT_WEIGHTS).users == 0


def test_a_post_that_may_not_be_served_takes_no_place() -> None:
    posts = {**POSTS, 2: False}
    trial = Trial(*slices([("a", 1, "like")], [("a", 3, "like")], posts), DEFAULT_WEIGHTS)
    assert trial.figures(everyone([20.0 - n for n in range(20)])).ndcg == pytest.approx(1)


def test_popularity_counts_users_before_the_split_only() -> None:
    before = [("a", 1, "like"), ("b", 5, "like"), ("c", 5, "like"), ("b", 6, "like")]
    after = [("a", 5, "like"), *((f"x{n}", 6, "like") for n in range(9))]
    trial = Trial(*slices(before, after, POSTS), DEFAULT_WEIGHTS)
    assert trial.popularity().ndcg == pytest.approx(1)


def test_folding_in_sums_the_vectors_of_the_history_and_skips_posts_without_one() -> None:
    vectors = np.array([[1, 0], [0, 2], [0, 0]], np.float32)
    scores = fold_in(vectors)(sp.csr_matrix(np.array([[3.0, 0.5, 9.0]], np.float32)))
    assert scores.tolist() == [[3.0, 2.0, -np.inf]]


def test_a_post_the_model_does_not_know_is_never_a_hit() -> None:
    trial = Trial(*slices([("a", 1, "like")], [("a", 3, "like")], dict.fromkeys(range(1, 5), True)), DEFAULT_WEIGHTS)
    assert trial.figures(everyone([0.0, 0.0, -np.inf, 0.0])).recall == 0
