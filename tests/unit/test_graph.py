"""The graph model: what neighbours give a post, what it learns, and that the API folds a user in as it does."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from batch_models import course, training_state
from batch_models.course import Job
from batch_models.dataset import Columns, Interactions, Row
from batch_models.graph import Convolved, Graph
from batch_models.graph_network import Convolution, normalised
from batch_models.graph_training import PLAN
from online_models.positives import Positives
from schemas.events import DEFAULT_WEIGHTS

GROUPS, A_GROUP, USERS = 3, 12, 60


def interactions(rows: list[Row]) -> Interactions:
    columns = Columns()
    columns.extend(sorted(rows, key=lambda row: row.at))
    return columns.interactions(dict.fromkeys(range(1, GROUPS * A_GROUP + 3), True))


def grouped() -> list[Row]:
    """Users like posts of their group; two posts more stand at the end: one met once, by a user of group 1, and one
    that nobody met."""
    draw = random.Random(4)
    rows = []
    for at in range(1_500):
        user = draw.randrange(USERS)
        post = 1 + user % GROUPS * A_GROUP + draw.randrange(A_GROUP)
        rows.append(Row(f"u{user}", post, "like", 1.0, 1e9 + at))
    return [*rows, Row("u1", GROUPS * A_GROUP + 1, "like", 1.0, 1e9 + 1_500)]


@pytest.fixture(scope="module")
def whole() -> Interactions:
    return interactions(grouped())


@pytest.fixture(scope="module")
def fitted(whole: Interactions) -> Convolved:
    return Graph(16, Positives()).fit(whole, DEFAULT_WEIGHTS, 1)


def test_a_layer_is_half_of_what_users_took_beside_it_and_half_of_what_lies_near() -> None:
    cells = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 0]], np.float32))
    near = sp.csr_matrix(np.array([[0, 0, 0], [0, 0, 0], [3, 1, 0]], np.float32))
    network = Convolution(normalised(cells, near), np.eye(3, dtype=np.float32), np.zeros(3, np.int64), 1)
    met = np.array([[1, np.sqrt(0.5), 0], [0, np.sqrt(0.5), 0]]) / np.sqrt([[2.0], [1.0]])
    layer = 0.5 * met.T @ met + 0.5 * np.array([[0, 0, 0], [0, 0, 0], [0.75, 0.25, 0]])
    assert network().detach().numpy() == pytest.approx((np.eye(3) + layer) / 2, abs=1e-6)


def test_users_get_the_posts_of_their_group(whole: Interactions, fitted: Convolved) -> None:
    scores = fitted.scores(whole, np.arange(USERS))
    group = whole.posts[np.unique(whole.users, return_index=True)[1]] // A_GROUP
    best = np.argsort(-scores, axis=1)[:, :10] // A_GROUP
    assert (best == group[:, None]).mean() > 0.98


def test_a_post_met_once_lies_with_the_posts_of_that_user(fitted: Convolved) -> None:
    vectors = fitted.item_vectors[:, :-1]
    alike = vectors[: GROUPS * A_GROUP] @ vectors[GROUPS * A_GROUP]
    assert alike.reshape(GROUPS, A_GROUP).mean(axis=1).argmax() == 1


def test_a_post_that_nobody_met_is_not_known(whole: Interactions, fitted: Convolved) -> None:
    assert not fitted.item_vectors[-1].any()
    assert np.isneginf(fitted.scores(whole, np.arange(2))[:, -1]).all()


def test_a_user_without_a_history_gets_what_is_most_popular(whole: Interactions, fitted: Convolved) -> None:
    nobody = whole.part(0, 0)
    known = fitted.item_vectors.any(axis=1)
    assert fitted.scores(nobody, np.array([0]))[0][known] == pytest.approx(fitted.item_vectors[known, -1])


def test_one_seed_makes_one_model(whole: Interactions, fitted: Convolved) -> None:
    torch.manual_seed(99)
    again = Graph(16, Positives()).fit(whole, DEFAULT_WEIGHTS, 1)
    assert np.allclose(again.item_vectors, fitted.item_vectors, atol=1e-5)
    other = Graph(16, Positives()).fit(whole, DEFAULT_WEIGHTS, 2)
    assert not np.allclose(other.item_vectors, fitted.item_vectors, atol=1e-3)


SHORT = replace(PLAN, batch=64)
STEP = course.Course._step


def trained(part: Interactions, folder: Path | None) -> Convolved:
    return Graph(16, Positives(), Job(SHORT, folder)).fit(part, DEFAULT_WEIGHTS, 3)


def steps(monkeypatch: pytest.MonkeyPatch, most: int = 10**6) -> Callable[[], list[float]]:
    """Losses of the steps since it was asked before; a training is stopped before a step beyond `most`."""
    losses: list[float] = []

    def watched(self: Any, *given: Any) -> float:
        if len(losses) == most:
            raise KeyboardInterrupt
        losses.append(STEP(self, *given))
        return losses[-1]

    def told() -> list[float]:
        found = losses.copy()
        losses.clear()
        return found

    monkeypatch.setattr(course.Course, "_step", watched)
    return told


def test_a_training_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    whole: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = steps(monkeypatch)
    straight = trained(whole, None).item_vectors
    every = told()
    monkeypatch.setattr(course, "CHECKPOINT_SECONDS", 0.0)
    steps(monkeypatch, 17)
    with pytest.raises(KeyboardInterrupt):
        trained(whole, tmp_path)
    state = training_state.load(tmp_path / "checkpoint.npz")
    assert state is not None
    assert state.facts["step"] == 17
    told = steps(monkeypatch)
    resumed = trained(whole, tmp_path).item_vectors
    assert told() == every[17:]
    assert np.array_equal(resumed, straight)
    assert not (tmp_path / "checkpoint.npz").exists()


def test_the_next_training_begins_where_the_last_one_ended(
    whole: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of the events later, and with a post that the former one did not know."""
    before = whole.split(0.9)[0].of_posts(np.arange(GROUPS * A_GROUP))
    told = steps(monkeypatch)
    trained(before, tmp_path)
    cold = told()
    state = training_state.load(next(tmp_path.glob("state-*.npz")))
    assert state is not None
    begun = []
    run = course.Course.run

    def seen(self: Any, *given: Any) -> None:
        begun.append(training_state.of_network(self._network))
        run(self, *given)

    monkeypatch.setattr(course.Course, "run", seen)
    warm = trained(whole, tmp_path)
    assert 0 < len(told()) < len(cold) / 3
    for name in ("vectors.weight", "bias.weight", "log_scale"):
        former, begins = state.arrays[f"network.{name}"], begun[0][f"network.{name}"]
        assert np.array_equal(begins[: len(former)] if former.ndim else begins, former), name
    scores = warm.scores(whole, np.arange(USERS))
    group = whole.posts[np.unique(whole.users, return_index=True)[1]] // A_GROUP
    assert (np.argsort(-scores, axis=1)[:, :10] // A_GROUP == group[:, None]).mean() > 0.98
    assert warm.item_vectors[GROUPS * A_GROUP].any()
