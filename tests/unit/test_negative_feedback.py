"""Negative feedback of every kind, in a feed: the post is gone at once, and what is like it ranks lower."""

import msgspec
import numpy as np
import pytest

from api.candidate_pipeline import CandidatePipeline, Slate
from api.catalogue import Catalogue
from api.filters.seen import Seen
from api.metrics import Metrics
from api.pipelines import reader_filters
from api.query_hydrators.user_state import UserStateHydrator
from api.scorers.blend import Blend
from api.selector.top import Top
from api.sources.popular import Popular
from api.stages import Query
from online_models.co_visitation import growth
from online_models.user_history import learn_one
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.item_state import ItemState
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.user_state import HistoryEvent, UserState
from tests.unit.test_api_learnt import query_on
from tests.unit.test_aversion import TURNED

NOW = 1_800_000_000.0
LIKED, DISLIKED, SAME_AUTHOR, SAME_TAGS, NEIGHBOUR, OTHER = range(1, 7)
SETTINGS = Settings(redis_url="redis://127.0.0.1:1/0", kafka_bootstrap_servers="127.0.0.1:1")
HYDRATOR = UserStateHydrator(None, SETTINGS)  # type: ignore[arg-type]


@pytest.fixture
def catalogue() -> Catalogue:
    """All equally popular; posts 3 to 5 have something in common with post 2."""
    catalogue = Catalogue()
    rows = {
        LIKED: ("a", []), DISLIKED: ("b", ["loud", "long"]), SAME_AUTHOR: ("b", []), SAME_TAGS: ("c", ["loud", "long"]),
        NEIGHBOUR: ("d", []), OTHER: ("e", []),
    }  # fmt: skip
    for post_id, (author, tags) in rows.items():
        row = {"id": post_id, "username": author, "tags": tags}
        catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))
        catalogue.set_states([post_id], [ItemState(decayed=[5.0] * 3, at=NOW, strength=20.0 * growth(NOW))])
    catalogue.set_neighbours(DISLIKED, np.array([NEIGHBOUR]), growth(NOW) * np.array([15.0]))
    return catalogue


async def feed(catalogue: Catalogue, *events: tuple[int, str, int]) -> tuple[Slate, dict[int, float]]:
    """The page after events (post, type, value in thousandths), and the scores on it."""
    state = UserState()
    for number, (post_id, kind, value) in enumerate(events):
        event = HistoryEvent(int(NOW * 1000) + number, post_id, TYPE_CODES[kind], value)
        learn_one(state, event, DEFAULT_WEIGHTS)
    query = Query("u", NOW, catalogue, state=state)
    HYDRATOR.set_history(query)
    filters = [*reader_filters(SETTINGS), Seen()]
    pipeline = CandidatePipeline([], [Popular()], filters, [Blend(SETTINGS)], Top(), [], Metrics())
    slate = await pipeline.run(query)
    assert slate.degraded == []
    return slate, dict(zip(catalogue.ids[slate.slots].tolist(), slate.scores.tolist(), strict=True))


@pytest.mark.parametrize(("kind", "value"), TURNED)
async def test_the_post_is_gone_and_neighbours_author_and_tags_rank_lower(
    catalogue: Catalogue, kind: str, value: int
) -> None:
    _, before = await feed(catalogue, (LIKED, "like", 1000))
    assert DISLIKED in before
    slate, after = await feed(catalogue, (LIKED, "like", 1000), (DISLIKED, kind, value))
    assert DISLIKED not in after
    assert {"seen": slate.dropped["seen"], "not_interested": slate.dropped["not_interested"]} == (
        {"seen": 2, "not_interested": 0} if kind in ("rating", "view") else {"seen": 1, "not_interested": 1}
    )
    for lowered in (SAME_AUTHOR, SAME_TAGS, NEIGHBOUR):
        assert after[lowered] < after[OTHER] - 0.3
    assert next(iter(after)) == OTHER


@pytest.mark.parametrize(("kind", "value"), [("rating", 60_000), ("view", 500), ("like", 1000)])
async def test_what_is_not_negative_lowers_nothing(catalogue: Catalogue, kind: str, value: int) -> None:
    _, after = await feed(catalogue, (LIKED, "like", 1000), (DISLIKED, kind, value))
    assert min(after[one] for one in (SAME_AUTHOR, SAME_TAGS, NEIGHBOUR)) >= after[OTHER]


@pytest.mark.parametrize(("kind", "value"), TURNED)
async def test_the_learnt_blend_is_told_of_each_kind(catalogue: Catalogue, kind: str, value: int) -> None:
    state = UserState()
    learn_one(state, HistoryEvent(int(NOW * 1000), DISLIKED, TYPE_CODES[kind], value), DEFAULT_WEIGHTS)
    query = query_on(catalogue, state=state)
    HYDRATOR.set_history(query)
    assert catalogue.ids[query.disliked].tolist() == [DISLIKED]
