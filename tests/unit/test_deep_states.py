"""Trainings of the deep model that are stopped, go on, and begin where a former one ended; in one process or two."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from batch_models import course, training_state, warm_start
from batch_models.course import Job, Plan
from batch_models.dataset import Columns, Interactions, Row
from batch_models.deep_network import UserVector
from batch_models.deep_ranker import Deep, FittedDeep
from online_models.content_tokens import PostTokens
from online_models.event_sequence import gap_buckets
from online_models.positives import Positives
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.posts import Post, decode_post

POSTS, DAY = 24, 86_400.0
PLAN = Plan(least_steps=80, rate=5e-3)
SHORT = Plan(least_steps=16)
"""For what need not learn anything."""


def tagged(posts: int) -> list[Post]:
    return [
        decode_post(msgspec.json.encode({"id": post, "category": f"tag{post % 3}"})) for post in range(1, posts + 1)
    ]


def circle(users: int = 24, events: int = 30, new: int = 0) -> Interactions:
    """After a post everybody goes to the one after it. new: posts that join the circle after two thirds of the time."""
    rows = []
    for step in range(events):
        posts = POSTS + (new if 3 * step > 2 * events else 0)
        rows += [
            Row(f"u{user}", 1 + (user + step) % posts, "like", 1.0, 1e9 + 60.0 * step + user) for user in range(users)
        ]
    columns = Columns()
    columns.extend(sorted(rows, key=lambda row: row.at))
    facts = tagged(POSTS + new)
    return columns.interactions(dict.fromkeys(range(1, POSTS + new + 1), True), facts)


def trained(part: Interactions, folder: Path | None, plan: Plan = PLAN) -> FittedDeep:
    return Deep(32, Positives(), Job(plan, folder)).fit(part, DEFAULT_WEIGHTS, 3)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = ["tests/unit"]
import test_deep_states as here
from batch_models import course, training_state
course.CHECKPOINT_SECONDS = 0.0
save, count = training_state.save, iter(range(16))
def save_or_die(path, state):
    save(path, state)
    if next(count) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
training_state.save = save_or_die
here.trained(here.circle(), Path(sys.argv[1]), here.SHORT)
"""


def test_a_training_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert killed.returncode == -signal.SIGKILL
    state = training_state.load(tmp_path / "checkpoint.npz")
    assert state is not None
    assert state.facts["step"] == 8
    resumed, straight = trained(circle(), tmp_path, SHORT), trained(circle(), None, SHORT)
    assert np.array_equal(resumed.item_vectors, straight.item_vectors)
    assert not (tmp_path / "checkpoint.npz").exists()


def test_a_checkpoint_of_other_data_or_a_damaged_one_is_passed_over(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(course, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(warm_start, "keep", lambda *_: None)
    straight = trained(circle(6, 12), None, SHORT).item_vectors
    for damage in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(course.Course, "_step", stopping_after(5))
            with pytest.raises(KeyboardInterrupt):
                trained(circle(6, 13 if not damage else 12), tmp_path, SHORT)
        path = tmp_path / "checkpoint.npz"
        if damage:
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        assert np.array_equal(trained(circle(6, 12), tmp_path, SHORT).item_vectors, straight)


def stopping_after(steps: int) -> Any:
    step, left = course.Course._step, iter(range(steps))

    def limited(self: Any, *given: Any) -> float:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(self, *given)

    return limited


def test_the_next_training_learns_what_is_new_from_where_the_last_one_ended(tmp_path: Path, monkeypatch: Any) -> None:
    whole = circle(new=4, events=60)
    before, _ = whole.split(0.9)
    trained(before, tmp_path)
    steps: list[Any] = []
    step = course.Course._step
    monkeypatch.setattr(course.Course, "_step", lambda self, *given: steps.append(1) or step(self, *given))
    warm = trained(whole, tmp_path)
    learnt = len(steps)
    cold = trained(whole, None)
    assert 0 < learnt < (len(steps) - learnt) / 3
    assert right(cold) > 0.6
    assert right(warm) > right(cold) - 0.1
    # Of both are kept: what this one learnt is where the next one begins.
    assert len([*tmp_path.glob("state-*.npz")]) == 2


def right(fitted: FittedDeep) -> float:
    """How often what comes next is what the circle says, of posts before the place where new ones join it."""
    last = torch.arange(2, POSTS - 1)[:, None]
    posts = last + torch.tensor([-2, -1, 0])
    like, minute = torch.full_like(posts, TYPE_CODES["like"]), torch.full_like(posts, int(gap_buckets(np.array(60.0))))
    with torch.no_grad():
        tower = UserVector(fitted.network, 0.0).eval()
        vectors = tower(posts, like, torch.ones(posts.shape), minute, torch.ones_like(posts, dtype=torch.bool))
        best = (vectors @ fitted.network.item_vectors(0.0).T).argmax(dim=1)
    return float((best == last[:, 0] + 1).float().mean())


def test_a_state_that_knows_more_than_the_part_is_never_taken(tmp_path: Path) -> None:
    whole = circle()
    before, _ = whole.split(0.8)
    same = trained(whole, tmp_path, SHORT)
    assert same.item_vectors.any()
    state = training_state.load(next(tmp_path.glob("state-*.npz")))
    assert state is not None
    shape, now = state.facts["shape"], state.facts["full_at"] + 60.0
    assert warm_start.best(tmp_path, whole, shape, now) is not None
    assert warm_start.best(tmp_path, before, shape, now) is None
    # Nor one of other settings, nor one that is a week old, nor one of other events.
    assert warm_start.best(tmp_path, whole, [*shape, 1], now) is None
    assert warm_start.best(tmp_path, whole, shape, now + 8 * DAY) is None
    assert warm_start.best(tmp_path, whole.where(np.arange(len(whole)) % 2 == 0), shape, now) is None


def test_a_post_that_nobody_met_lies_where_posts_of_its_tag_lie() -> None:
    """Users keep to a tag; the post that nobody met is scored above those of other tags, for users of its own."""
    draw, rows = np.random.default_rng(5), []
    for number in range(1_500):
        user = int(draw.integers(30))
        rows.append(Row(f"u{user}", 1 + user % 3 + 3 * int(draw.integers(POSTS // 3)), "like", 1.0, 1e9 + number))
    columns = Columns()
    columns.extend(rows)
    facts = tagged(POSTS + 1)
    whole = columns.interactions(dict.fromkeys(range(1, POSTS + 2), True), facts)
    scores = trained(whole, None).scores(whole, np.arange(whole.user_count))
    tags = np.array([int(whole.post_ids[post]) % 3 for post in np.unique(whole.posts)])
    of_user = np.array([tags[whole.posts[whole.users == user][0]] for user in range(whole.user_count)])
    assert np.isfinite(scores[:, POSTS]).all()
    own = of_user == (POSTS + 1) % 3
    assert scores[own, POSTS].min() > scores[~own, POSTS].max()
    nothing = PostTokens(*map(np.zeros_like, whole.content.posts))
    nameless = replace(whole, content=whole.content._replace(posts=nothing))
    assert np.isneginf(trained(nameless, None, SHORT).scores(nameless, np.arange(2))[:, POSTS]).all()


DISTRIBUTED = """
import json, os, sys
sys.path[:0] = ["tests/unit"]
import test_deep_states as here
whole = here.circle(48, 20)
fitted = here.trained(whole, None)
if os.environ.get("RANK", "0") == "0":
    print(json.dumps([here.right(fitted), fitted.item_vectors.sum().item()]))
"""


def test_two_processes_learn_what_one_does() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    command = [sys.executable, "-c", DISTRIBUTED]
    second = subprocess.Popen(command, env={**environment, "RANK": "1", "LOCAL_RANK": "1"})
    try:
        first = subprocess.run(
            command, env={**environment, "RANK": "0", "LOCAL_RANK": "0"}, capture_output=True, text=True, timeout=150
        )
        assert second.wait(30) == 0
    finally:
        second.kill()
        second.wait()
    assert first.returncode == 0, first.stderr
    found, total = json.loads(first.stdout.splitlines()[-1])
    whole = circle(48, 20)
    alone = trained(whole, None)
    assert found == pytest.approx(right(alone), abs=0.2)
    assert found > 0.8
    assert total != alone.item_vectors.sum().item()  # or else nobody was asked
