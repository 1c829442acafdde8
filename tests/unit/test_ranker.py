"""The ranker: what it may see, what it learns, that its graph says the same, and that feeds ask it what it learnt."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from api.catalogue import Catalogue
from api.graph import Graph
from api.learnt import Learnt
from api.models import ItemVectors
from api.scorers import ranker as scorer
from api.stages import Candidates, Query
from batch_models import course, ranker, refresh, training_state
from batch_models.dataset import Columns, Interactions, Row
from batch_models.event_sequences import sequences
from batch_models.model import Published
from batch_models.popularity_at import PopularityAt
from batch_models.ranker import FittedRanker, RankerJob, RankerModel, serves
from batch_models.ranker_export import INPUTS, exported
from batch_models.ranker_network import WIDTH, Ranker
from batch_models.ranker_training import RankerPlan, meetings
from online_models import blend
from online_models.decayed_counters import DecayedCounters
from online_models.positives import Positives
from online_models.post_table import TAG_CODES, TAGS
from online_models.ranking import AUTHORS, COUNTS, OUTPUTS, values_of
from online_models.user_history import learn_one
from schemas.errors import SettingsError
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES, strength
from schemas.item_state import ItemState
from schemas.learnt import Weights
from schemas.models import ModelVersion
from schemas.posts import decode_post
from schemas.ranking import DEFAULT_HEAD_WEIGHTS
from schemas.settings import Settings
from schemas.user_state import HistoryEvent, UserState

POSTS, GROUPS, START = 40, 4, 1_700_000_000.0
NEW = POSTS + 1
"""A post that nobody has met, of the first group."""
PLAN = RankerPlan(examples=8_000, most_epochs=40, batch=64, others=8)


def group_of(post: int) -> int:
    return (post - 1) % GROUPS


def grouped(events: int = 900, users: int = 40) -> Interactions:
    """Users in four groups, each of which watches what has its tag to the end and the rest hardly at all."""
    draw, rows = np.random.default_rng(2), []
    for number in range(events):
        user = int(draw.integers(users))
        liked = draw.random() < 0.8
        post = (
            int(draw.integers(POSTS // GROUPS)) * GROUPS + 1 + (user % GROUPS if liked else int(draw.integers(GROUPS)))
        )
        value = 0.9 if group_of(post) == user % GROUPS else 0.1
        rows.append(Row(f"u{user}", post, "view", value, START + 60.0 * number))
    columns = Columns()
    columns.extend(rows)
    facts = [
        decode_post(msgspec.json.encode({
            "id": post, "username": f"a{post}", "category": f"tag{group_of(post)}",
            "created_at": int(1000 * (START - 86_400.0 * post)),
        }))
        for post in range(1, NEW + 1)
    ]  # fmt: skip
    return columns.interactions(dict.fromkeys(range(1, NEW + 1), True), facts)


@pytest.fixture(scope="module")
def whole() -> Interactions:
    return grouped()


@pytest.fixture(scope="module")
def fitted(whole: Interactions) -> FittedRanker:
    return RankerModel(RankerJob(PLAN)).fit(whole, DEFAULT_WEIGHTS, 1)


def drawn(users: int, candidates: int, events: int) -> list[np.ndarray]:
    draw = np.random.default_rng(candidates)
    lengths = draw.integers(1, events + 1, (users, 1))
    few, past = (users, candidates), (users, events)
    return [
        draw.normal(size=(*few, WIDTH)).astype(np.float32), draw.integers(0, AUTHORS + 1, few),
        draw.integers(-1, TAG_CODES, (*few, TAGS)), draw.normal(size=(*few, COUNTS)).astype(np.float32),
        draw.normal(size=(*past, WIDTH)).astype(np.float32), draw.integers(0, AUTHORS + 1, past),
        draw.integers(-1, TAG_CODES, (*past, TAGS)), draw.integers(0, len(TYPE_CODES), past),
        draw.random(past).astype(np.float32), draw.integers(0, 16, past), np.arange(events) >= events - lengths,
    ]  # fmt: skip


def test_the_graph_says_what_torch_says_without_batch_norm() -> None:
    torch.manual_seed(1)
    network = Ranker()
    for norm in network.norms:
        assert isinstance(norm, nn.BatchNorm1d)
        for each in (norm.running_mean, norm.bias):
            nn.init.normal_(each)
        for each in (norm.running_var, norm.weight):
            nn.init.uniform_(each, 0.5, 2.0)
    network.eval()
    graph = exported(network)
    assert b"BatchNormalization" not in graph
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for users, candidates, events in ((1, 200, 50), (1, 1, 1), (3, 7, 13)):
        inputs = drawn(users, candidates, events)
        with torch.no_grad():
            expected = network(*map(torch.from_numpy, inputs)).numpy()
        found = session.run(None, dict(zip(INPUTS, inputs, strict=True)))[0]
        assert found.shape == (users, candidates, len(OUTPUTS))
        assert np.abs(found - expected).max() < 1e-4


def test_filling_says_nothing() -> None:
    torch.manual_seed(2)
    network = Ranker().eval()
    inputs = drawn(1, 5, 6)
    inputs[-1][:] = True
    filled = [*inputs[:4], *(np.concatenate([each[:, :1], each], axis=1) for each in inputs[4:])]
    filled[-1][:, 0] = False
    with torch.no_grad():
        without, beside = (network(*map(torch.from_numpy, each)) for each in (inputs, filled))
    assert torch.allclose(without, beside, atol=1e-5)


def test_popularity_is_what_the_counters_had_just_before() -> None:
    draw, rows, counters = np.random.default_rng(3), [], DecayedCounters()
    asked, expected, at = [], [], START
    for number in range(300):
        at += float(draw.exponential(20_000.0))
        post = int(draw.integers(1, 5))
        asked.append((post - 1, at))
        expected.append(counters.predict_one(post, at))
        kind, value = [("view", 0.4), ("like", 1.0), ("not_interested", 1.0)][int(draw.integers(3))]
        rows.append(Row(f"u{number}", post, kind, value, at))
        counters.learn_one(post, TYPE_CODES[kind], 1, strength(kind, value, DEFAULT_WEIGHTS), at)
    columns = Columns()
    columns.extend(rows)
    part = columns.interactions(dict.fromkeys(range(1, 5), True))
    posts, times = (np.array(column) for column in zip(*asked, strict=True))
    assert np.allclose(PopularityAt(part, DEFAULT_WEIGHTS).sums(posts, times), expected, rtol=1e-5)


def test_a_meeting_has_what_followed_on_the_same_post() -> None:
    rows = [
        ("view", 1, 0.3), ("view", 2, 0.2), ("view", 2, 0.7), ("like", 2, 1.0), ("like", 3, 1.0), ("view", 4, 0.5),
        ("share", 4, 1.0), ("rating", 5, 90.0), ("rating", 6, 40.0), ("not_interested", 6, 1.0),
    ]  # fmt: skip
    columns = Columns()
    columns.extend(Row("u", post, kind, value, START + at) for at, (kind, post, value) in enumerate(rows))
    found = sequences(columns.interactions({}), Positives())
    learnt = meetings(found)
    assert (found.posts[learnt.places] + 1).tolist() == [2, 3, 4, 5, 6]  # the first has no past
    nan = np.nan
    assert np.array_equal(
        learnt.labels,
        np.array([[0.7, 1, 0, 0], [nan, 1, 0, 0], [0.5, 0, 1, 0], [nan, 1, 0, 0], [nan, 0, 0, 1]], np.float32),
        equal_nan=True,
    )


def test_it_learns_who_comes_and_what_follows(whole: Interactions, fitted: FittedRanker) -> None:
    users, posts = np.arange(whole.user_count), np.tile(np.arange(POSTS), (whole.user_count, 1))
    fitted.scores(whole, users[:1])
    outputs = fitted.outputs(whole, users, posts)
    groups = users_groups(whole)
    own = np.array([group_of(post + 1) for post in range(POSTS)]) == groups[:, None]
    watched = 1.0 / (1.0 + np.exp(-outputs[..., 1]))
    assert watched[own].mean() > watched[~own].mean() + 0.3
    assert outputs[..., 0][own].mean() > outputs[..., 0][~own].mean() + 1.0


def users_groups(whole: Interactions) -> np.ndarray:
    """Whom a user belongs to: the group of most of what was watched to the end."""
    liked = whole.values > 0.5
    counts = np.zeros((whole.user_count, GROUPS))
    np.add.at(counts, (whole.users[liked], whole.posts[liked] % GROUPS), 1)
    return counts.argmax(axis=1)


def test_a_post_that_nobody_met_is_told_by_its_tag(whole: Interactions, fitted: FittedRanker) -> None:
    assert not fitted.item_vectors[NEW - 1].any()
    users = np.arange(whole.user_count)
    fitted.scores(whole, users[:1])
    outputs = fitted.outputs(whole, users, np.full((len(users), 1), NEW - 1))
    watched, own = outputs[:, 0, 1], users_groups(whole) == group_of(NEW)
    assert watched[own].min() > watched[~own].max()


def test_what_comes_after_a_moment_does_not_change_what_is_learnt_before_it(whole: Interactions) -> None:
    before, _ = whole.split(0.7)
    changed = replace(whole, posts=np.where(np.arange(len(whole)) >= len(before), 0, whole.posts).astype(np.int32))
    plan = RankerPlan(examples=500, batch=64, others=8)
    first, second = (
        RankerModel(RankerJob(plan)).fit(each.part(0, len(before)), DEFAULT_WEIGHTS, 3) for each in (whole, changed)
    )
    assert np.array_equal(first.item_vectors, second.item_vectors)


def test_what_was_published_ranks_as_what_was_trained(whole: Interactions, fitted: FittedRanker) -> None:
    known = fitted.item_vectors.any(axis=1)
    published = Published(whole.post_ids[known], fitted.item_vectors[known], fitted.graph())
    users = np.arange(6)
    theirs = serves(published, whole.post_ids, DEFAULT_WEIGHTS).scores(whole, users)
    assert np.allclose(theirs, fitted.scores(whole, users), atol=1e-3)


def test_a_value_is_how_likely_a_user_comes_times_what_follows() -> None:
    outputs = np.array(
        [[0.5, 20.0, -20.0, -20.0, -20.0], [0.5, 20.0, 20.0, -20.0, -20.0], [3.0, -20, -20, -20, 20]], "f4"
    )
    found = values_of(outputs, DEFAULT_HEAD_WEIGHTS)
    assert found[:2] == pytest.approx([0.5, 0.5 + np.log(2.0)], abs=1e-5)
    assert found[2] < 0.0
    assert values_of(outputs, {**DEFAULT_HEAD_WEIGHTS, "like": 0.0})[1] == pytest.approx(0.5, abs=1e-5)


def test_weights_of_heads_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKER_WEIGHTS", '{"like": 3}')
    assert Settings.load().ranker_weights == {**DEFAULT_HEAD_WEIGHTS, "like": 3.0}
    monkeypatch.setenv("RANKER_WEIGHTS", '{"likes": 3}')
    with pytest.raises(SettingsError, match="RANKER_WEIGHTS"):
        Settings.load()


@pytest.fixture
def query(whole: Interactions, fitted: FittedRanker, monkeypatch: pytest.MonkeyPatch) -> Query:
    """The reader who is user 0 of the data, with all that the training knew of posts, on a machine in no hurry."""
    monkeypatch.setattr(scorer, "DEADLINE", 60.0)
    catalogue, now = Catalogue(), float(whole.at[-1]) + 1.0
    sums = PopularityAt(whole, DEFAULT_WEIGHTS).sums(np.arange(NEW), np.full(NEW, now))
    for post in range(1, NEW + 1):
        row = {"id": post, "username": f"a{post}", "category": f"tag{group_of(post)}"}
        created = round((START - 86_400.0 * post) * 1000)
        catalogue.set_row(post, decode_post(msgspec.json.encode({**row, "created_at": created})))
        catalogue.set_states([post], [ItemState(decayed=sums[post - 1].tolist(), at=now, strength=1.0)])
    state = UserState()
    for row in np.flatnonzero(whole.users == 0).tolist():
        event = HistoryEvent(
            round(whole.at[row] * 1000),
            int(whole.posts[row]) + 1,
            int(whole.types[row]),
            round(whole.values[row] * 1000),
        )
        learn_one(state, event, DEFAULT_WEIGHTS)
    known = fitted.item_vectors.any(axis=1)
    version = ModelVersion(model="ranker", version="v1", created_at=0.0, dim=WIDTH, items=POSTS, chunks=1, metrics={})
    vectors = ItemVectors(version, whole.post_ids[known], fitted.item_vectors[known], Graph(fitted.graph()))
    return Query(username="u", now=now, catalogue=catalogue, state=state, vectors={"ranker": vectors}, explain=True)


def candidates_of(query: Query, posts: list[int]) -> Candidates:
    slots, size = query.catalogue.known_slots(posts), query.catalogue.size
    places = np.full(size, -1, np.int32)
    places[slots] = np.arange(len(slots))
    nothing = np.zeros((len(slots), 0))
    return Candidates(slots, places, [], np.empty(0, np.bool_), nothing, nothing > 0, nothing.astype(np.float32))


def test_a_feed_ranks_by_what_the_training_would_say(whole: Interactions, fitted: FittedRanker, query: Query) -> None:
    posts = [*range(1, 21), NEW]
    fitted.scores(whole, np.array([0]))
    expected = fitted.outputs(whole, np.array([0]), np.array([[post - 1 for post in posts]]))[0]
    model = query.vectors["ranker"]
    assert model.graph is not None
    found = scorer.logits(model.graph, query, model, query.catalogue.known_slots(posts))
    assert np.abs(found - expected).max() < 1e-3
    scores = scorer.Ranker(Settings(_env_file=None)).score(query, candidates_of(query, posts), np.zeros(len(posts)))
    values = values_of(expected, DEFAULT_HEAD_WEIGHTS)
    assert np.argsort(-scores).tolist() == np.argsort(-values).tolist()
    slot = query.catalogue.slots[7]
    assert query.heads[slot]["watched"] == pytest.approx(1.0 / (1.0 + np.exp(-expected[6, 1])), abs=1e-3)


def test_only_the_best_candidates_are_ranked_and_the_others_stay_below(
    query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "MOST", 5)
    before = np.linspace(1e-3, 0.0, 20)
    scores = scorer.Ranker(Settings(_env_file=None)).score(query, candidates_of(query, [*range(1, 21)]), before)
    assert scores[:5].min() > scores[5:].max()
    assert np.array_equal(np.argsort(-scores[5:]), np.arange(15))
    assert len(query.heads) == 5


def test_without_a_version_or_a_past_it_changes_nothing(query: Query) -> None:
    ranker, before = scorer.Ranker(Settings(_env_file=None)), np.linspace(1.0, 0.0, 5)
    for changed in (replace(query, vectors={}), replace(query, state=UserState())):
        assert ranker.score(changed, candidates_of(changed, [1, 2, 3, 4, 5]), before) is before


def test_a_feed_weighs_it_as_clicks_have_taught(query: Query) -> None:
    posts, before = [*range(1, 21)], np.linspace(3.0, 0.0, 20)
    orders, added, none = [], [], np.zeros(1, np.float32)
    untaught: list[dict[str, float]] = [{}, {"ranker": blend.START}, {"svd": 8.0}]
    for taught in [*untaught, {"ranker": 0.0}, {"ranker": 100.0}]:
        weights = Weights([], none, none, none, none, 0.5, 1.0, outside=taught)
        candidates = candidates_of(query, posts)
        online = Learnt(1, None, weights)  # type: ignore[arg-type]  # of which the scorer needs no posts
        asked = replace(query, online=online, past=np.zeros(1, np.int32))
        scores = scorer.Ranker(Settings(_env_file=None)).score(asked, candidates, before)
        said = candidates.outside["ranker"]
        assert scores - before == pytest.approx(taught.get("ranker", blend.START) * said)
        orders.append(np.argsort(-scores, kind="stable").tolist())
        added.append(said)
    assert all(np.array_equal(said, added[0]) for said in added), "pages tell what the weight is multiplied with"
    assert orders[0] == orders[1] == orders[2]
    assert orders[3] == [*range(20)]
    assert orders[4] == np.argsort(-added[0], kind="stable").tolist()
    assert orders[0] not in orders[3:]


def test_it_rests_after_it_took_too_long(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    ranker, candidates, runs = scorer.Ranker(Settings(_env_file=None)), candidates_of(query, [1, 2]), []
    real = scorer.logits
    monkeypatch.setattr(scorer, "logits", lambda *given: runs.append(1) or real(*given))
    monkeypatch.setattr(scorer, "DEADLINE", 0.0)
    for _ in range(2):
        with pytest.raises(TimeoutError, match="allowed are 0"):
            ranker.score(query, candidates, np.zeros(2))
    assert len(runs) == 1, "the second request does not try"
    monkeypatch.setattr(scorer, "DEADLINE", 60.0)
    monkeypatch.setattr(scorer.time, "perf_counter", lambda now=scorer.time.perf_counter: now() + scorer.REST_SECONDS)
    assert ranker.score(query, candidates, np.zeros(2)).any()


def test_a_refresh_trains_and_judges_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ranker, "RankerPlan", lambda: replace(PLAN, examples=4_000))
    trained = refresh.train(ranker, "ranker", grouped(users=100), Settings(_env_file=None, model_path=tmp_path))
    assert trained.model.beats(trained.popularity)
    assert trained.served.item_vectors.shape == (NEW, WIDTH)
    assert trained.served.graph()


SHORT = RankerPlan(examples=2_000, most_epochs=4, batch=64, others=8)


def test_a_training_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    whole: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = RankerModel(RankerJob(SHORT)).fit(whole, DEFAULT_WEIGHTS, 3)
    step, left = course.Course._step, iter(range(9))

    def limited(self: Any, *given: Any) -> float:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(course, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(course.Course, "_step", limited)
        with pytest.raises(KeyboardInterrupt):
            RankerModel(RankerJob(SHORT, tmp_path)).fit(whole, DEFAULT_WEIGHTS, 3)
    state = training_state.load(tmp_path / "checkpoint.npz")
    assert state is not None
    assert state.facts["step"] == 9
    resumed = RankerModel(RankerJob(SHORT, tmp_path)).fit(whole, DEFAULT_WEIGHTS, 3)
    assert np.array_equal(resumed.item_vectors, straight.item_vectors)
    assert resumed.graph() == straight.graph()
    assert not (tmp_path / "checkpoint.npz").exists()


def test_the_next_training_begins_where_the_last_one_ended(
    whole: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    step = course.Course._step

    def watched(self: Any, *given: Any) -> float:
        losses.append(step(self, *given))
        return losses[-1]

    monkeypatch.setattr(course.Course, "_step", watched)
    RankerModel(RankerJob(PLAN, tmp_path)).fit(whole.split(0.9)[0], DEFAULT_WEIGHTS, 1)
    cold, cold_steps = losses[0], len(losses)
    RankerModel(RankerJob(PLAN, tmp_path)).fit(whole, DEFAULT_WEIGHTS, 1)
    assert len(losses) - cold_steps < cold_steps / 3
    assert losses[cold_steps] < cold
