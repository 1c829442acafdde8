"""The pipeline as a whole: what it promises whatever its parts do."""

from array import array

import msgspec
import numpy as np
import pytest

from api.candidate_pipeline import CandidatePipeline, Slate
from api.catalogue import Catalogue
from api.filters.deleted import Deleted
from api.filters.seen import Seen
from api.metrics import Metrics
from api.scorers.blend import Blend
from api.selector.top import Top
from api.sources.popular import Popular
from api.sources.segment import Segment
from api.stages import Query, Retrieved
from online_models.candidates import DEPTH
from schemas.item_state import ItemState
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.user_state import UserState

NOW = 1_800_000_000.0
POSTS = 250


class Broken:
    name, personal = "broken", True

    def retrieve(self, query: Query) -> Retrieved:
        raise ValueError("no vectors")

    def keep(self, query: Query, slots: np.ndarray) -> np.ndarray:
        raise ValueError("no mask")


class User:
    name = "user_state"

    async def hydrate(self, query: Query) -> None:
        query.state = UserState(events=3, older_seen=array("I", [POSTS, POSTS - 1]))


class Recorder:
    name = "recorder"

    def __init__(self) -> None:
        self.slates: list[Slate] = []
        self.closed = False

    async def run(self, query: Query, slate: Slate) -> None:
        self.slates.append(slate)
        raise ConnectionError("nobody listens")

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def catalogue() -> Catalogue:
    """Posts 1 to POSTS, the higher the id the more popular."""
    catalogue = Catalogue()
    for post_id in range(1, POSTS + 1):
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id})))
        catalogue.set_states([post_id], [ItemState(decayed=[float(post_id)] * 3, at=NOW)])
    return catalogue


def pipeline(**parts: list[object]) -> CandidatePipeline:
    return CandidatePipeline(
        query_hydrators=parts.get("query_hydrators", []),
        sources=parts.get("sources", [Popular()]),
        filters=parts.get("filters", [Deleted(), Seen()]),
        scorers=[Blend(Settings())],
        selector=Top(),
        side_effects=parts.get("side_effects", []),
        metrics=Metrics(),
    )  # type: ignore[arg-type]


def ids(catalogue: Catalogue, slate: Slate) -> list[int]:
    return catalogue.ids[slate.slots].tolist()


async def test_a_broken_source_is_skipped_and_named(catalogue: Catalogue) -> None:
    feed = pipeline(sources=[Broken(), Popular()])
    slate = await feed.run(Query("u", NOW, catalogue))
    assert ids(catalogue, slate)[0] == POSTS
    assert slate.degraded == ["broken source: no vectors"]
    assert slate.algorithm_used == "cold_start:popular"
    assert b'reelstream_feed_part_failures_total{part="broken source"} 1.0' in feed.metrics.exposition([], {})


async def test_a_broken_filter_is_skipped_and_named_and_the_others_hold(catalogue: Catalogue) -> None:
    feed = pipeline(query_hydrators=[User()], filters=[Deleted(), Broken(), Seen()])
    slate = await feed.run(Query("u", NOW, catalogue))
    assert slate.degraded == ["broken filter: no mask"]
    assert slate.dropped == {"deleted": 0, "seen": 2}
    assert ids(catalogue, slate)[:2] == [POSTS - 2, POSTS - 3]


async def test_the_best_of_a_source_are_taken_after_the_filters(catalogue: Catalogue) -> None:
    slate = await pipeline(query_hydrators=[User()]).run(Query("u", NOW, catalogue, page_size=DEPTH))
    assert ids(catalogue, slate) == list(range(POSTS - 2, POSTS - 2 - DEPTH, -1))
    assert slate.dropped == {"deleted": 0, "seen": 2}
    assert slate.total_count == POSTS - 2
    assert slate.algorithm_used == "popular"


async def test_pages_go_on_behind_the_candidates_without_a_repeat(catalogue: Catalogue) -> None:
    feed = pipeline()
    slates = [await feed.run(Query("u", NOW, catalogue, page=page, page_size=40)) for page in range(1, 9)]
    served = [post_id for slate in slates for post_id in ids(catalogue, slate)]
    assert served == list(range(POSTS, 0, -1))
    scores = np.concatenate([slate.scores for slate in slates])
    assert (np.diff(scores) <= 0).all()


async def test_posts_that_no_source_has_are_shown_all_the_same(catalogue: Catalogue) -> None:
    slate = await pipeline(sources=[Segment()]).run(Query("u", NOW, catalogue, page_size=3))
    assert ids(catalogue, slate) == [POSTS, POSTS - 1, POSTS - 2]
    assert (slate.sources, slate.degraded) == ([["popular"]] * 3, [])
    assert slate.rows is not None
    assert slate.rows() == [{"popular": float(post_id)} for post_id in ids(catalogue, slate)]


async def test_an_empty_catalogue_gives_an_empty_page() -> None:
    slate = await pipeline().run(Query("u", NOW, Catalogue()))
    assert (len(slate.slots), slate.total_count, slate.degraded) == (0, 0, [])


async def test_a_failing_side_effect_is_counted_and_never_raised(catalogue: Catalogue) -> None:
    recorder = Recorder()
    feed = pipeline(side_effects=[recorder])
    query = Query("u", NOW, catalogue)
    slate = await feed.run(query)
    await feed.after(query, slate)
    assert recorder.slates == [slate]
    await feed.close()
    assert recorder.closed
    assert b'{part="recorder side effect"} 1.0' in feed.metrics.exposition([], {})
