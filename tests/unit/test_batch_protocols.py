"""The protocols by hand: who is asked, what is held out, among what it is ranked, and that no future is trained on."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from batch_models.contenders import MODELS, YARDSTICKS, NotInstalled, chosen
from batch_models.dataset import Columns, Interactions, Row
from batch_models.ease import item_weights
from batch_models.neighbours import strongest
from batch_models.popularity import Popularity
from batch_models.protocols import EVERYTHING, Questions, by_time, leave_last_out
from online_models.positives import Positives
from schemas.errors import ReelstreamError
from schemas.events import DEFAULT_WEIGHTS
from schemas.settings import Settings

LIKES = Positives(["like"])


def interactions(*rows: tuple[str, int, str], posts: int = 20) -> Interactions:
    """One row a second."""
    columns = Columns()
    columns.extend(Row(user, post, kind, 1.0, float(at)) for at, (user, post, kind) in enumerate(rows))
    return columns.interactions(dict.fromkeys(range(1, posts + 1), True))


class Fixed:
    """Gives every user the same scores."""

    def __init__(self, scores: list[float]) -> None:
        self._scores = np.array(scores, np.float32)

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.tile(self._scores, (len(users), 1))


def report(questions: Questions, fitted: object) -> dict:
    return questions.ask(fitted, lambda done: None).report(1)  # type: ignore[arg-type]


def history_of(*users: str) -> list[tuple[str, int, str]]:
    """So many that the test slice is a tenth: 18 rows."""
    return [(users[number % len(users)], 1 + number % 2, "view") for number in range(18)]


def test_under_time_a_positive_is_new_to_a_user_with_a_history_and_after_the_quantile() -> None:
    rows = interactions(*history_of("a", "b"), ("a", 5, "like"), ("stranger", 6, "like"))
    questions = by_time(rows, LIKES)
    assert len(questions.train) == 18
    assert questions.users.tolist() == [0]
    assert rows.post_ids[questions.positives.indices].tolist() == [5]
    for last in (("a", 1, "like"), ("a", 5, "view"), ("a", 5, "report"), ("stranger", 5, "like")):
        assert not len(by_time(interactions(*history_of("a", "b"), ("b", 1, "view"), last), LIKES).users)


def test_under_time_a_like_that_was_taken_back_is_no_positive() -> None:
    rows = interactions(*history_of("a"), *history_of("a"), ("a", 5, "like"), ("a", 6, "like"), ("a", 5, "like"))
    taken_back = replace(rows, values=np.where(np.arange(len(rows)) == len(rows) - 1, 0.0, rows.values))
    assert rows.post_ids[by_time(taken_back, LIKES).positives.indices].tolist() == [6]


def test_under_time_all_posts_but_those_met_are_ranked() -> None:
    questions = by_time(interactions(*history_of("a"), ("a", 5, "like"), ("a", 5, "like")), LIKES)
    figures = report(questions, Fixed([20.0 - n for n in range(20)]))
    # 1 and 2 were met, so 5 is third of 18.
    assert figures["ndcg@10"] == pytest.approx(1 / np.log2(4))
    assert figures["recall@10"] == figures["hr@10"] == 1.0
    assert report(questions, Fixed([-np.inf] * 20))["recall@10"] == 0.0


def test_under_ncf_the_last_post_is_held_out_with_all_that_the_user_did_with_it() -> None:
    rows = interactions(
        ("a", 3, "view"), ("a", 4, "view"), ("a", 3, "like"), ("b", 7, "like"), ("a", 9, "report"), posts=150
    )  # fmt: skip
    questions = leave_last_out(rows, 1)
    assert rows.post_ids[questions.train.posts].tolist() == [4, 9]
    assert questions.users.tolist() == [0]
    assert questions.candidates is not None
    candidates = rows.post_ids[questions.candidates[0]].tolist()
    assert len(set(candidates)) == 100
    assert 3 in candidates
    assert not {4, 9} & set(candidates)
    assert np.array_equal(questions.candidates, leave_last_out(rows, 1).candidates)
    assert not np.array_equal(questions.candidates, leave_last_out(rows, 2).candidates)
    assert report(questions, Fixed([float(post == 3) for post in rows.post_ids]))["ndcg@10"] == 1.0


def test_under_ncf_a_score_for_all_alike_is_right_one_time_in_ten() -> None:
    many = [(f"u{user}", 1 + user % 5 + 100 * turn, "view") for turn in (0, 1) for user in range(900)]
    figures = report(leave_last_out(interactions(*many, posts=200), 1), Fixed([0.0] * 200))
    assert figures["hr@10"] == pytest.approx(0.1, abs=0.03)
    low, high = figures["hr@10_interval"]
    assert low < figures["hr@10"] < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.1 * 0.9 / 900), rel=0.25)


def planted_future() -> Interactions:
    """After the quantile, and never before it, everybody likes post 20."""
    users = [f"u{number}" for number in range(9)]
    past = [(user, 1 + (number + turn) % 12, "like") for turn in range(9) for number, user in enumerate(users)]
    return interactions(*past, *((user, 20, "like") for user in users))


def test_a_planted_future_is_found_by_what_peeks_and_by_nothing_that_was_trained_before_it() -> None:
    whole = planted_future()
    questions = by_time(whole, LIKES)
    peeking = Popularity().fit(whole, DEFAULT_WEIGHTS, 1)
    assert report(questions, peeking)["ndcg@10"] > 0.5
    honest = Popularity().fit(questions.train, DEFAULT_WEIGHTS, 1)
    assert honest.scores(questions.train, questions.users)[:, 19].max() == 0


# `content` is asked the same in test_content.py, where TensorFlow is loaded.
@pytest.mark.parametrize("name", [*(name for name in MODELS if name != "content"), *YARDSTICKS])
def test_whatever_happens_after_the_quantile_no_score_changes(name: str) -> None:
    whole = planted_future()
    late = np.arange(len(whole)) >= 81
    other = replace(
        whole, posts=np.where(late, 14, whole.posts).astype(np.int32),
        users=np.where(late, 3, whole.users).astype(np.int32), values=np.where(late, 0, whole.values),
    )  # fmt: skip
    scores = []
    for each in (whole, other):
        model = {**MODELS, **YARDSTICKS}[name](Settings(_env_file=None, embedding_dim=8), EVERYTHING)
        train = by_time(each, LIKES).train
        try:
            fitted = model.fit(train, DEFAULT_WEIGHTS, 1)
        except NotInstalled as reason:
            pytest.skip(str(reason))
        scores.append(fitted.scores(train, np.arange(9)))
    assert np.isfinite(scores[0]).any()
    np.testing.assert_array_equal(*scores)


def test_a_name_that_is_no_model_is_refused_and_popularity_always_takes_part() -> None:
    with pytest.raises(ReelstreamError, match=r"sdv: no such model\. There is: .*svd"):
        chosen(["sdv"])
    assert list(chosen(["svd"])) == ["svd", "popularity"]


def test_every_model_on_disk_is_listed_among_the_contenders() -> None:
    folder = Path(__file__).parents[2] / "batch_models"
    listed = (folder / "contenders.py").read_text()
    for file in folder.glob("[!_]*.py"):
        if re.search(r"^    def fit\(self, part", file.read_text(), re.MULTILINE) and file.stem != "model":
            assert f"from .{file.stem} import" in listed, f"list {file.name} in batch_models/contenders.py"


def test_item_weights_solve_the_regression_without_looking_at_the_post_itself() -> None:
    """EASE's closed form against its definition: each column is a ridge regression on all other posts."""
    cells = (np.random.default_rng(3).random((40, 6)) < 0.4).astype(np.float64)
    found = item_weights(cells.T @ cells, 2.0)
    for post in range(6):
        others = np.delete(cells, post, axis=1)
        expected = np.linalg.solve(others.T @ others + 2.0 * np.eye(5), others.T @ cells[:, post])
        np.testing.assert_allclose(np.delete(found[:, post], post), expected, rtol=1e-6)
    assert not np.diag(found).any()
    wanted = cells * (np.random.default_rng(4).random(cells.shape) < 0.5)
    found = item_weights(cells.T @ cells, 2.0, cells.T @ wanted)
    for post in range(6):
        others = np.delete(cells, post, axis=1)
        expected = np.linalg.solve(others.T @ others + 2.0 * np.eye(5), others.T @ wanted[:, post])
        np.testing.assert_allclose(np.delete(found[:, post], post), expected, rtol=1e-6, atol=1e-9)
    assert not np.diag(found).any()


def test_the_strongest_neighbours_are_those_of_the_whole_product() -> None:
    left = np.random.default_rng(4).random((30, 40)) * (np.random.default_rng(5).random((30, 40)) < 0.3)
    whole = left.T @ left
    np.fill_diagonal(whole, 0)
    found = strongest(sp.csc_matrix(left), 5).toarray()
    for row, expected in zip(found, whole, strict=True):
        np.testing.assert_allclose(np.sort(row)[-5:], np.sort(expected)[-5:])
        assert np.count_nonzero(row) == min(5, np.count_nonzero(expected))


def test_a_yardstick_whose_library_is_missing_is_left_out_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    train = by_time(planted_future(), LIKES).train
    with pytest.raises(NotInstalled, match=r"als-64 is left out, it needs: pip install 'reelstream\[yardsticks\]'"):
        YARDSTICKS["als-64"](Settings(_env_file=None), EVERYTHING).fit(train, DEFAULT_WEIGHTS, 1)
