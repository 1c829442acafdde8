"""The deep model: what it may see, what it learns, and that its graph says the same without torch."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from batch_models import registry
from batch_models.dataset import Columns, Interactions, Row
from batch_models.deep_export import exported
from batch_models.deep_network import Network, Shape, UserVector
from batch_models.deep_ranker import Deep, FittedDeep, serves, strengths
from batch_models.event_sequences import sequences, windows
from batch_models.item_tower import item_tower
from batch_models.model import Published
from batch_models.post_facts import facts_of
from batch_models.post_vectors import tokens_of
from online_models.deep_towers import DeepTowers
from online_models.event_sequence import LENGTH, gap_buckets, of_history
from online_models.positives import Positives
from online_models.user_history import learn_one
from schemas.errors import ReelstreamError
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.models import ModelVersion, chunks_digest, pack_graph, pack_vectors
from schemas.posts import decode_post
from schemas.user_state import HistoryEvent, UserState

POSTS = 20
NO_TOKENS = tokens_of(facts_of([], np.arange(1, POSTS + 1)))
COUNTS = (1, 2, 40, LENGTH, LENGTH + 1, LENGTH + 2, 3 * LENGTH + 7)


def interactions(rows: list[Row]) -> Interactions:
    columns = Columns()
    columns.extend(sorted(rows, key=lambda row: row.at))
    return columns.interactions(dict.fromkeys(range(1, POSTS + 1), True))


def circle(users: int = 24, events: int = 30) -> Interactions:
    """After a post everybody goes to the one after it, all posts are equally popular: only the order says anything."""
    return interactions([
        Row(f"u{user}", 1 + (user + step) % POSTS, "like", 1.0, 1e9 + 60.0 * step + user)
        for user in range(users) for step in range(events)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def titled() -> Interactions:
    """Users stay in one half of the posts, and titles tell the halves apart."""
    draw = np.random.default_rng(5)
    columns = Columns()
    columns.extend(
        Row(f"u{user}", int(1 + POSTS // 2 * (user % 2) + draw.integers(POSTS // 2)), "like", 1.0, 1e9 + step)
        for step in range(20) for user in range(24)
    )  # fmt: skip
    titles = [f"{'tea' if number < POSTS // 2 else 'sea'} {number}" for number in range(POSTS)]
    rows = [decode_post(msgspec.json.encode({"id": post, "title": title})) for post, title in enumerate(titles, 1)]
    return columns.interactions(dict.fromkeys(range(1, POSTS + 1), True), rows)


@pytest.fixture
def card() -> registry.Card:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return registry.Card(
        version=ModelVersion(model="deep", version="", created_at=0.0, dim=1, items=0, chunks=0, metrics={}), digest="",
        trained_on="everything", first_event_at=now, last_event_at=now, split_at=now, events=1, users=1, choice={},
        settings={}, evaluated_users=1, seconds=0.5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> FittedDeep:
    return Deep(32, Positives()).fit(circle(), DEFAULT_WEIGHTS, 3)


def drawn(network: Network, users: int, length: int) -> tuple[torch.Tensor, ...]:
    """Random events of users, of which the last may be filling."""
    draw = np.random.default_rng(length)
    shape = (users, length)
    there = np.arange(length) < draw.integers(1, length + 1, (users, 1))
    return tuple(map(torch.from_numpy, (
        draw.integers(0, network.shape.posts + 1, shape), draw.integers(0, len(TYPE_CODES), shape),
        draw.random(shape).astype(np.float32), draw.integers(0, 16, shape), there,
    )))  # fmt: skip


def test_a_state_knows_nothing_of_what_comes_after_it() -> None:
    torch.manual_seed(0)
    network = Network(Shape(POSTS, 16, layers=2), NO_TOKENS, strengths(DEFAULT_WEIGHTS)).eval()
    posts, types, values, gaps, _ = drawn(network, 3, 12)
    there = torch.ones_like(posts, dtype=torch.bool)
    with torch.no_grad():
        before = network.tower.states(posts, types, values, gaps, there)
        posts[:, 7:], types[:, 7:], values[:, 7:], gaps[:, 7:] = 0, 0, 0.0, 0
        after = network.tower.states(posts, types, values, gaps, there)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7], after[:, 7])


def test_every_event_but_a_users_last_is_learnt_from_once() -> None:
    draw = np.random.default_rng(4)
    rows = [
        Row(f"u{user}", int(draw.integers(1, POSTS + 1)), "view", 0.9, 1e9 + step)
        for user, count in enumerate(COUNTS) for step in range(count)
    ]  # fmt: skip
    found = sequences(interactions(rows), Positives())
    learnt = np.zeros(len(rows), int)
    for first, end, new in windows(found):
        assert end - first <= LENGTH
        assert end < found.ends[first]
        assert new >= first
        learnt[new:end] += 1
    assert learnt.sum() == len(rows) - len(COUNTS)
    assert learnt.max() == 1


def test_it_learns_the_order_in_which_posts_follow(fitted: FittedDeep) -> None:
    last = torch.arange(POSTS)[:, None]
    posts = (last + torch.tensor([-2, -1, 0])) % POSTS
    like, minute = torch.full_like(posts, TYPE_CODES["like"]), torch.full_like(posts, int(gap_buckets(np.array(60.0))))
    tower, there = UserVector(fitted.network, 0.0).eval(), torch.ones_like(posts, dtype=torch.bool)
    with torch.no_grad():
        vectors = tower(posts, like, torch.ones(posts.shape), minute, there)
        best = (vectors @ fitted.network.item_vectors(0.0).T).argmax(dim=1)
    assert torch.equal(best, (last[:, 0] + 1) % POSTS)


def test_scores_are_those_of_both_heads_and_minus_infinity_for_posts_that_nobody_met(fitted: FittedDeep) -> None:
    whole = circle()
    met = whole.where(whole.posts != 3)
    events = np.bincount(met.posts, minlength=POSTS)
    scores = FittedDeep(fitted.network, Positives(), events, whole.content.posts).scores(met, np.array([2, 5]))
    assert np.isneginf(scores[:, 3]).all()
    assert np.isfinite(np.delete(scores, 3, axis=1)).all()
    assert not np.array_equal(*np.delete(scores, 3, axis=1))


def test_a_post_that_came_after_the_training_is_found_by_its_row(titled: Interactions) -> None:
    new, users = np.array([9, 19]), np.arange(titled.user_count)  # one of each half
    before = np.delete(np.arange(POSTS), new)
    fitted = Deep(32, Positives()).fit(titled.of_posts(before), DEFAULT_WEIGHTS, 3)
    published = Published(before + 1, fitted.item_vectors, fitted.graph())
    scores = serves(published, titled.post_ids, DEFAULT_WEIGHTS).scores(titled, users)
    assert (scores[:, new].argmax(axis=1) == users % 2).all()
    # One that nobody met is known at the training by the same.
    fitted = Deep(32, Positives()).fit(titled.where(~np.isin(titled.posts, new)), DEFAULT_WEIGHTS, 3)
    assert (fitted.scores(titled, users)[:, new].argmax(axis=1) == users % 2).all()


def test_the_same_seed_gives_the_same_model() -> None:
    first, again, other = (
        Deep(16, Positives()).fit(circle(4, 5), DEFAULT_WEIGHTS, seed).item_vectors for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_feed_reads_a_history_as_the_training_did() -> None:
    draw, state, rows = np.random.default_rng(8), UserState(), []
    at = 1_700_000_000_000
    for _ in range(LENGTH + 20):
        at += int(10 ** draw.uniform(2, 8))
        kind, value = [("view", 0.4), ("rating", 60.0), ("like", 1.0), ("not_interested", 1.0)][draw.integers(4)]
        post = int(draw.integers(1, POSTS + 1))
        learn_one(state, HistoryEvent(at, post, TYPE_CODES[kind], round(value * 1000)), DEFAULT_WEIGHTS)
        rows.append(Row("u", post, kind, value, at / 1000))
    part = interactions(rows)
    trained, served = sequences(part, Positives()), of_history(state.history)
    newest = slice(len(rows) - LENGTH, None)
    assert np.array_equal(part.post_ids[trained.posts[newest]], served.posts)
    assert np.array_equal(trained.types[newest], served.types)
    assert np.allclose(trained.values[newest], served.values)
    assert np.array_equal(trained.gaps[newest], served.gaps)


def test_the_graph_says_what_torch_says_of_users_and_of_a_post_that_came_later(titled: Interactions) -> None:
    torch.manual_seed(1)
    network = Network(Shape(POSTS, 16), NO_TOKENS, strengths(DEFAULT_WEIGHTS)).eval()
    network.begin_with(torch.randn(POSTS, 16), torch.zeros(POSTS, 16))
    tower, known = UserVector(network, 0.5).eval(), np.arange(POSTS) != 7
    items = item_tower(titled.content.posts, network.post_vectors().detach().numpy(), known.astype(np.int64))
    graph = exported(tower, known, items, -0.5)
    alone = sys.getrefcount(graph)
    towers = DeepTowers(graph)
    assert sys.getrefcount(graph) == alone, "it does not keep the bytes, which are as large as its tables"
    of_new = titled.content.posts.rows(slice(7, 8))
    scored, as_event = towers.posts(of_new)
    # In torch, the post is one of the table that has these vectors.
    network.become(torch.tensor([7]), torch.from_numpy(items.vectors(of_new)))
    with torch.no_grad():
        network.next.bias.weight[7] = network.later.bias.weight[7] = -0.5
        assert np.abs(scored - network.item_vectors(0.5)[7].numpy()).max() < 1e-4
    rows = np.append(np.where(known, np.cumsum(known) - 1, POSTS - 1), POSTS - 1)
    for users, length in ((1, 1), (1, LENGTH), (5, 13)):
        inputs = drawn(network, users, length)
        with torch.no_grad():
            expected = tower(*inputs).numpy()
        arrays = [each.numpy() for each in inputs]
        new = np.where((arrays[0] == 7)[..., None], as_event, np.float32(0.0))
        arrays[0] = rows[arrays[0]]
        assert np.abs(towers.users(*arrays, new) - expected).max() < 1e-4
    assert (rows[7], len(towers.posts(of_new.rows(slice(0, 0)))[0])) == (POSTS - 1, 0)


def test_a_flipped_bit_of_the_graph_is_refused(fitted: FittedDeep, tmp_path: Path, card: registry.Card) -> None:
    graph = fitted.graph()
    content, card.digest = registry.pack(np.arange(1, POSTS + 1), fitted.item_vectors)
    chunks = pack_graph(graph)
    of_vectors = pack_vectors(np.arange(1, POSTS + 1), fitted.item_vectors)
    card.version = ModelVersion(
        model="deep", version="v1", created_at=0.0, dim=fitted.item_vectors.shape[1], items=POSTS, chunks=1, metrics={},
        graph_chunks=len(chunks), digest=chunks_digest(of_vectors + chunks),
    )  # fmt: skip
    folder = registry.save(tmp_path, card, content, graph)
    saved = registry.newest(tmp_path, "deep")
    assert saved is not None
    assert saved[1][1:] == chunks
    flipped = bytearray(graph)
    flipped[1000] ^= 1
    (folder / "model.onnx").write_bytes(flipped)
    with pytest.raises(ReelstreamError, match="is damaged"):
        registry.newest(tmp_path, "deep")
