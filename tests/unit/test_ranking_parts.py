"""How candidates are scored and put in order: the blend before and beside a learner, diversity, ties."""

import itertools
import math

import msgspec
import numpy as np
import pytest

from api.catalogue import Catalogue
from api.learnt import Learnt
from api.scorers.blend import Blend
from api.selector.mmr import Mmr
from api.selector.top import Top
from api.sources.co_visitation import CoVisitation
from api.sources.fresh import Fresh
from api.sources.popular import Popular
from api.sources.segment import Segment
from api.sources.svd import Svd
from api.stages import Candidates
from online_models import candidates as best
from online_models.features import OTHERS
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.user_state import UserState
from tests.unit.queries import catalogue_of, query_on

SETTINGS = Settings(redis_url="redis://127.0.0.1:1/0", kafka_bootstrap_servers="127.0.0.1:1")


def test_mmr_takes_turns_between_authors_and_is_the_given_order_without_diversity() -> None:
    catalogue = Catalogue()
    for post_id, author in enumerate("aaab", start=1):
        catalogue.set_row(
            post_id, decode_post(msgspec.json.encode({"id": post_id, "username": author, "tags": [author]}))
        )
    candidates, scores = candidates_of([[1.0]] * 4, [True]), np.array([4.0, 3.0, 2.0, 1.0])
    order = {
        diversity: Mmr(Top()).order(query_on(catalogue, diversity=diversity), candidates, scores).tolist()
        for diversity in (0.0, 0.2, 0.8)
    }
    assert order == {0.0: [0, 1, 2, 3], 0.2: [0, 1, 2, 3], 0.8: [0, 3, 1, 2]}


def candidates_of(scores: list[list[float]], personal: list[bool]) -> Candidates:
    matrix = np.array(scores, np.float32)
    names = tuple(f"source{number}" for number in range(matrix.shape[1]))
    found = best.Candidates(
        matrix.T.copy(), np.zeros(len(names), np.bool_), np.ones(len(matrix), np.bool_), room=OTHERS
    )
    order, taken = np.argsort(found.slots), found.ranks < best.ABSENT
    slots, places = np.arange(len(matrix)), np.arange(len(matrix), dtype=np.int32)
    assert found.slots[order].tolist() == slots.tolist()
    return Candidates(slots, places, names, np.array(personal), matrix, taken[order], found.features[order])


def test_blend_ranks_what_several_sources_have_above_what_one_has() -> None:
    candidates = candidates_of([[5.0, 5.0], [5.0, 0.0], [0.0, 1.0]], [True, False])
    scores = Blend(SETTINGS).score(query_on(catalogue_of(1, 2, 3)), candidates, np.zeros(3))
    assert scores.argmax() == 0
    assert np.isfinite(scores).all()


def test_blend_lowers_posts_by_an_author_whom_the_user_turned_against_also_without_a_learner() -> None:
    catalogue = catalogue_of(1, username="b")
    for post_id, author in [(2, "a"), (3, "b")]:
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id, "username": author})))
    candidates = candidates_of([[5.0], [4.5], [4.0]], [True])
    ranked = {
        disliked: Blend(SETTINGS).score(
            query_on(catalogue, disliked=np.array(disliked, np.int32)), candidates, np.zeros(3)
        )
        for disliked in [(), (2,)]
    }
    assert ranked[()].argmax() == 0
    assert ranked[(2,)].argmax() == 1, "the posts in slots 0 and 2 are of the same author"


def test_blend_gives_the_best_of_a_source_v_0_and_r_1() -> None:
    candidates = candidates_of([[7.0]], [True])
    scores = Blend(SETTINGS).score(query_on(catalogue_of(1)), candidates, np.zeros(1))
    assert scores.tolist() == pytest.approx([0.1])


def test_blend_fades_impersonal_sources_smoothly_as_the_history_grows() -> None:
    candidates = candidates_of([[1.0, 1.0]], [True, False])
    weights = [
        Blend(SETTINGS).weights(query_on(catalogue_of(1), state=UserState(events=events)), candidates).tolist()
        for events in range(50)
    ]
    fading = [impersonal for _, impersonal in weights]
    assert all(personal == 0.1 for personal, _ in weights)
    assert fading[0] == 0.1
    assert fading[SETTINGS.cold_start_threshold] == 0.05
    assert all(0 < before - after < 0.02 for before, after in itertools.pairwise(fading))


def test_top_breaks_ties_by_post_id_and_sinks_what_is_not_a_number() -> None:
    catalogue = catalogue_of(30, 20, 10, 5)
    candidates = candidates_of([[1.0]] * 4, [True])
    order = Top().order(query_on(catalogue), candidates, np.array([1.0, 1.0, math.nan, 2.0]))
    assert catalogue.ids[order].tolist() == [5, 20, 30, 10]


@pytest.mark.parametrize("learns", [False, True], ids=["before a learner", "with a learner"])
async def test_sources_that_know_nothing_of_what_a_user_did_lose_weight_with_each_event(learns: bool) -> None:
    catalogue = catalogue_of(1, 2)
    sources = [CoVisitation(), Popular(), Fresh(), Segment(), Svd()]
    candidates = candidates_of([[1.0] * 5] * 2, [source.personal for source in sources])
    candidates.names = tuple(source.name for source in sources)
    online = Learnt(1, None, None) if learns else None  # type: ignore[arg-type]
    blend = Blend(Settings(_env_file=None))  # type: ignore[call-arg]
    by_events = np.array([
        blend.weights(
            query_on(catalogue, online=online, past=np.array([0], np.int32), state=UserState(events=events)), candidates
        )
        for events in range(30)
    ])  # fmt: skip
    of = dict(zip(candidates.names, by_events.T, strict=True))
    for name in ("fresh", "segment") if learns else ("popular", "fresh", "segment"):
        steps = -np.diff(of[name])
        assert of[name][5] == of[name][0] / 2
        assert (steps > 0).all()
        assert (np.diff(steps) < 0).all(), "no switch: each event takes less than the one before"
    assert len({*of["svd"].tolist()}) == 1
    if learns:
        assert not of["co_visitation"].any(), "what the learnt blend weighs counts there alone"
        assert not of["popular"].any()
