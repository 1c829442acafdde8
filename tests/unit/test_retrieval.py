"""Candidates of a feed are those of a full computation: all posts scored by each source, filtered, sorted."""

import asyncio

import numpy as np
import pytest

from api.candidate_pipeline import CandidatePipeline
from api.catalogue import Catalogue
from api.filters.seen import Seen
from api.learnt import Learnt, LearntPosts
from api.metrics import Metrics
from api.models import ItemVectors
from api.pipelines import feed_sources
from api.scorers.blend import Blend
from api.selector.top import Top
from api.stages import Candidates, Query
from online_models import candidates as learner
from online_models.blend import HIDDEN
from online_models.co_visitation import growth
from online_models.features import FEATURES, OTHERS
from online_models.post_table import TAG_CODES
from schemas.item_state import ItemState
from schemas.learnt import FOLLOWERS, Weights, post_type
from schemas.models import ModelVersion
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.user_state import UserState
from tests.unit.evidence import scores_of_all

NOW, POSTS, DIM, PAST = 1_800_000_000.0, 1_500, 8, 60


@pytest.fixture(scope="module", params=[1, 2])
def world(request: pytest.FixtureRequest) -> Query:
    """A reader with a past among random posts, a third of which the learner does not know; a few are in no model."""
    draw = np.random.default_rng(request.param)
    catalogue, ids = Catalogue(), np.arange(1, POSTS + 1)
    for post_id in ids.tolist():
        row = b'{"id":%d,"tags":["t%d","s%d"],"username":"a%d"}' % (post_id, post_id % 50, post_id % 37, post_id % 300)
        catalogue.set_row(post_id, decode_post(row))
        near = draw.choice(ids, 20, replace=False)
        catalogue.set_neighbours(post_id, near, growth(NOW) * draw.exponential(size=20))
        if post_id % 4:
            decayed = draw.exponential(size=3).tolist()
            catalogue.set_states([post_id], [ItemState(decayed=decayed, at=NOW - 60.0, strength=growth(NOW) * 50.0)])
    catalogue.created_at[:POSTS] = NOW - draw.random(POSTS) * 3e6
    known = draw.choice(ids, 2 * POSTS // 3, replace=False)
    records = np.zeros(len(known), post_type(5 * DIM + 3))
    records["vectors"] = draw.normal(size=(len(known), 5 * DIM + 3))
    records["total"] = draw.random(len(known)) * 500
    records["first_at"], records["last_at"], records["left"] = NOW - 1e5, NOW - 1e3, growth(NOW) * 50.0
    records["followers"] = draw.permuted(np.tile(ids, (len(known), 1)), axis=1)[:, :FOLLOWERS]
    records["shares"] = draw.random((len(known), FOLLOWERS))
    learnt = LearntPosts(catalogue, 5 * DIM + 3)
    learnt.set(known.tolist(), [record.tobytes() for record in records])
    width = len(FEATURES)
    weights = Weights(
        [*FEATURES], np.zeros(width, np.float32), np.zeros((HIDDEN, width + 1), np.float32),
        np.zeros(HIDDEN, np.float32), np.ones(TAG_CODES, np.float32), 0.5, 1e6,
    )  # fmt: skip
    vectors = {}
    for name in ("svd", "graph", "collaborative"):
        version = ModelVersion(model=name, version="1", created_at=0.0, dim=10, items=POSTS, chunks=1, metrics={})
        some = np.sort(draw.choice(ids, POSTS - 100, replace=False))
        vectors[name] = ItemVectors(version, some, draw.random((len(some), 10)).astype(np.float32) - 0.3)
    past = draw.choice(POSTS, PAST, replace=False).astype(np.int32)
    return Query(
        "u", NOW, catalogue, history=past.astype(np.int64), strengths=np.ones(PAST), past=past, glad=past,
        hours=np.full(PAST, 8, np.int8), vectors=vectors, online=Learnt(1, learnt, weights),
        own=draw.normal(size=DIM).astype(np.float32), last_at=NOW - 60.0,
    )  # fmt: skip


def pipeline() -> CandidatePipeline:
    return CandidatePipeline([], feed_sources(), [Seen()], [Blend(Settings(_env_file=None))], Top(), [], Metrics())


def in_full(query: Query, kept: np.ndarray) -> tuple[learner.Candidates, np.ndarray]:
    """What the learner's own code makes of a score of every post by each source (S, N)."""
    found = [source.retrieve(query) for source in feed_sources()]
    scores = np.array([scores_of_all(query, each) for each in found])
    return learner.Candidates(scores, np.array([each.logits for each in found]), kept), scores


@pytest.mark.parametrize("share", [1.0, 0.5, 0.05, 0.0])
def test_candidates_are_those_of_a_full_computation(world: Query, share: float) -> None:
    kept, retrieval, degraded = np.random.default_rng(3).random(POSTS) < share, pipeline()._retrieval, []
    made: Candidates = retrieval.candidates(world, retrieval.found(world, kept, degraded))
    full, scores = in_full(world, kept)
    assert degraded == []
    assert made.slots.tolist() == full.slots.tolist()
    np.testing.assert_array_equal(made.taken, full.ranks < learner.ABSENT)
    np.testing.assert_allclose(made.features[:, :-OTHERS], full.features, atol=1e-5)
    offered = full.ranks.min(axis=0, initial=learner.ABSENT) < learner.ABSENT
    np.testing.assert_allclose(made.scores[:, offered], scores[offered][:, made.slots].T, rtol=1e-6)


def test_who_has_seen_nearly_everything_gets_all_that_is_left(world: Query) -> None:
    left = {*range(100, 190)}
    seen = [post_id for post_id in range(1, POSTS + 1) if post_id not in left]
    state, world.state = world.state, UserState(older_seen=seen)
    world.page_size = 50
    feed, pages = pipeline(), []
    for world.page in (1, 2):
        slate = asyncio.run(feed.run(world))
        assert (slate.total_count, slate.degraded) == (len(left), [])
        pages += world.catalogue.ids[slate.slots].tolist()
    assert slate.end
    assert sorted(pages) == sorted(left)
    world.state, world.page, world.page_size = state, 1, 20
