"""What `explain` says of a post: its numbers are those that the sources and scorers count with."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from api import ranked_lists
from api.candidate_pipeline import CandidatePipeline, Slate
from api.catalogue import Catalogue
from api.explainers.contributions import Contributions
from api.explainers.history import History
from api.explainers.tastes import Tastes
from api.learnt import Learnt, LearntPosts
from api.learnt_ease import LearntEase
from api.metrics import Metrics
from api.models import ItemVectors
from api.ranked_lists import RankedLists
from api.scorers.blend import Blend
from api.scorers.mood import Mood
from api.selector.top import Top
from api.sources.co_visitation import CoVisitation
from api.sources.collaborative import Collaborative
from api.sources.ease import Ease
from api.sources.fresh import Fresh
from api.sources.graph import Graph
from api.sources.next import Next
from api.sources.popularity import Popularity
from api.sources.sequence import Sequence
from api.sources.svd import Svd
from api.sources.taste_factors import TasteFactors
from api.stages import Query, Source
from online_models.blend import HIDDEN, START
from online_models.co_visitation_scores import growth
from online_models.features import FEATURES
from online_models.post_table import TAG_CODES
from schemas import learnt
from schemas.ease import EaseWeights
from schemas.item_state import ItemState
from schemas.learnt import Weights
from schemas.models import ModelVersion
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.user_state import UserState
from tests.unit.evidence import scores_of_all

NOW = 1_800_000_000.0
POSTS, DIM = 12, 4
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]
PAST = [1, 2, 3]
"""What the user met, newest first."""


@pytest.fixture
def catalogue() -> Catalogue:
    """Posts 1 to POSTS in two categories by three authors; who met one of the first three met some of the others."""
    random = np.random.default_rng(7)
    catalogue = Catalogue()
    for post_id in range(1, POSTS + 1):
        row = {
            "id": post_id, "created_at": (NOW - post_id * 86_400) * 1000, "username": f"author{post_id % 3}",
            "category": ("Sport", "Music")[post_id % 2], "tags": [f"tag{post_id % 4}", "all"],
        }  # fmt: skip
        catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))
        catalogue.set_states([post_id], [ItemState(decayed=[post_id / 9] * 3, at=NOW, strength=growth(NOW) * post_id)])
    for post_id in PAST:
        near = random.permutation(np.arange(4, POSTS + 1))[:6]
        catalogue.set_neighbours(post_id, near, -np.sort(-random.random(6)) * growth(NOW) * 9)
    return catalogue


def query_on(catalogue: Catalogue, **fields: Any) -> Query:
    """A user with a past, in front of what a learner and an SVD told."""
    random = np.random.default_rng(3)
    width = 5 * DIM + 3
    records = np.zeros(POSTS, learnt.post_type(width))
    records["vectors"] = random.normal(0, 0.5, (POSTS, width))
    records["total"], records["value"], records["first_at"], records["left"] = 5, 1, NOW - 1e5, growth(NOW) * 30
    records["last_at"] = NOW - 60
    records["followers"][:3, :4] = [[5, 6, 7, 8], [6, 7, 8, 9], [5, 9, 10, 11]]
    records["shares"][:3, :4] = [0.4, 0.3, 0.2, 0.1]
    posts = LearntPosts(catalogue, width)
    posts.set(range(1, POSTS + 1), [record.tobytes() for record in records])
    linear = random.normal(0, 0.3, len(FEATURES)).astype(np.float32)
    weights = Weights(
        features=list(FEATURES), linear=linear, inner=random.normal(0, 0.1, (HIDDEN, len(FEATURES) + 1)).astype("f4"),
        outer=random.normal(0, 0.3, HIDDEN).astype("f4"), tag_share=np.full(TAG_CODES, 1.0, np.float32), mean_value=0.5,
        spread=86_400.0,
    )  # fmt: skip
    codes = random.integers(0, 99, (POSTS, POSTS)).astype(np.int16)
    ease = LearntEase(catalogue, EaseWeights(np.arange(1, POSTS + 1), codes, 0.001))
    vectors = {}
    for name, dim in (("svd", 2), ("graph", 3), ("collaborative", 6)):
        version = ModelVersion(model=name, version="1", created_at=NOW, dim=dim, items=POSTS, chunks=1, metrics={})
        vectors[name] = ItemVectors(version, np.arange(1, POSTS + 1), random.random((POSTS, dim)).astype(np.float32))
    vectors["collaborative"].vectors[:, -1] = 0.9  # its recency
    slots = catalogue.known_slots(PAST)
    given: dict[str, Any] = {
        "explain": True, "page_size": POSTS, "past": slots.astype(np.int32), "glad": slots.astype(np.int32),
        "history": slots, "strengths": np.array([3.0, 1.0, 2.0]), "state": UserState(events=3), "last_at": NOW - 60,
        "online": Learnt(4, posts, weights, ease), "vectors": vectors,
    }  # fmt: skip
    return Query("u", NOW, catalogue, **(given | fields))


ADDITIVE: list[Source] = [
    CoVisitation(),
    Ease(),
    Next(),
    Sequence(),
    TasteFactors(),
    Svd(),
    Graph(),
    Collaborative(),
]


async def explained(query: Query, sources: list[Source]) -> tuple[Slate, list[dict[str, Any]]]:
    blend = Blend(SETTINGS)
    feed = CandidatePipeline(
        [],
        sources,
        [],
        [blend, Mood(SETTINGS)],
        Top(),
        [],
        Metrics(),
        explainers=[History(), Tastes(), Contributions(blend)],
    )
    slate = await feed.run(query)
    assert slate.degraded == []
    return slate, slate.explained


@pytest.mark.parametrize("source", ADDITIVE, ids=lambda source: source.name)
async def test_the_share_of_a_history_post_is_what_the_source_says_with_it_alone(
    catalogue: Catalogue, source: Source
) -> None:
    """Each source is asked with one post of the history at its place at a time, which add up to the whole."""
    query = query_on(catalogue)
    slate, found = await explained(query, [source])
    bias = np.zeros(catalogue.size)
    if source.name in ("sequence", "taste_factors"):
        bias = query.online.posts.bias[int(source.name != "sequence")][: catalogue.size]  # type: ignore[union-attr]
    if source.name in ("graph", "collaborative"):
        bias = query.vectors[source.name].vectors[:, -1 if source.name == "graph" else 2].astype(np.float64)
    named = [entry for row in found for entry in row.get("history", {}).get(source.name, ())]
    assert named
    for place, slot in enumerate(slate.slots.tolist()):
        shares = {each["post"]: each["share"] for each in found[place].get("history", {}).get(source.name, ())}
        alone = {}
        for post_id in PAST:
            # The others have nothing to say: their rows, vectors or weights are empty.
            mute = query_on(catalogue)
            others = catalogue.known_slots([other for other in PAST if other != post_id])
            kept = catalogue.neighbours.counts.copy()
            catalogue.neighbours.counts[catalogue.neighbours.rows[others]] = 0
            posts = mute.online.posts  # type: ignore[union-attr]
            posts.follower_counts[others] = 0
            for inputs in posts.inputs:
                inputs[others] = 0
            ease = mute.online.ease  # type: ignore[union-attr]
            ease.weights.codes[ease.rows(others)] = 0
            for name, part in (("svd", slice(0, 2)), ("graph", slice(0, 2)), ("collaborative", slice(3, 5))):
                mute.vectors[name].vectors[others, part] = 0
            score = scores_of_all(mute, source.retrieve(mute))
            catalogue.neighbours.counts[:] = kept
            alone[post_id] = max(float((score - bias)[slot]), 0.0)
        if slot in query.past and source.name in ("svd", "graph"):
            continue  # silencing the vector of a post silences it as a candidate too
        total = sum(alone.values())
        expected = (
            {post_id: said / total for post_id, said in alone.items() if said > 1e-9 * total} if total > 0 else {}
        )
        assert shares == pytest.approx(expected, abs=2e-4), slot


async def test_tastes_name_the_tags_category_and_author_in_common(catalogue: Catalogue) -> None:
    slate, found = await explained(query_on(catalogue), [CoVisitation(), Popularity()])
    by_id = dict(zip(catalogue.ids[slate.slots].tolist(), found, strict=True))
    # Of the tags of the past there are tag1, tag2 and tag3, a category each and `all`: a third each of .95^q.
    weights = 0.95 ** np.arange(3)
    assert by_id[5]["tastes"] == {
        "tags": {"tag1": round(1 / weights.sum() / 3, 4), "all": round(1 / 3, 4)},
        "category": {"Music": round(2 / 3, 4)},
        "author": "author2",
    }
    assert "tags" not in by_id[8]["tastes"] or "tag0" not in by_id[8]["tastes"]["tags"]
    nobody = query_on(catalogue, past=np.empty(0, np.int32))
    assert not any("tastes" in row for row in (await explained(nobody, [Fresh()]))[1])


async def test_what_scorers_and_sources_add_is_the_score(catalogue: Catalogue) -> None:
    query = query_on(catalogue, online=None, disliked=catalogue.known_slots([12]).astype(np.int32))
    slate, found = await explained(query, [CoVisitation(), Svd(), Fresh()])
    for score, row in zip(slate.scores.tolist(), found, strict=True):
        said = row["contributions"]
        assert sum(said["scorers"].values()) == pytest.approx(score, abs=1e-3)
        assert sum(said["blend"].values()) == pytest.approx(said["scorers"]["blend"], abs=1e-3)
    assert any(row["contributions"]["blend"].get("turned against", 0) < 0 for row in found)


async def test_of_the_learnt_blend_it_is_what_the_score_would_lack_without(catalogue: Catalogue) -> None:
    query = query_on(catalogue)
    query.online.weights.outer[:] = 0.0  # type: ignore[union-attr]  # without hidden units it is a sum
    slate, found = await explained(query, [CoVisitation(), Popularity(), Fresh()])
    for score, row in zip(slate.scores.tolist(), found, strict=True):
        said = row["contributions"]
        assert {*said["blend"]} <= {"co_visitation", "popularity", "fresh", "post and user", "turned against"}
        assert sum(said["scorers"].values()) == pytest.approx(score, abs=1e-3)
        assert sum(said["blend"].values()) == pytest.approx(said["scorers"]["blend"], abs=2e-3)


async def test_batch_models_count_as_clicks_taught_and_pages_tell_what_their_weight_is_multiplied_with(
    catalogue: Catalogue,
) -> None:
    parts, told = [], []
    for taught in ({}, {"graph": 5 * START, "svd": 0.0}):
        query = query_on(catalogue)
        assert query.online is not None
        query.online = replace(query.online, weights=query.online.weights._replace(outside=taught))
        slate, found = await explained(query, [CoVisitation(), Svd(), Graph(), Fresh()])
        posts = query.catalogue.ids[slate.slots].tolist()
        parts.append({
            post: row["contributions"]["blend"] for post, row in zip(posts, found, strict=True)
        })  # fmt: skip
        told.append({name: dict(zip(posts, said, strict=True)) for name, said in slate.outside.items()})
    assert {*told[0]} == {"svd", "graph"}, "not what the learner weighs itself"
    for post, said in parts[0].items():
        assert said.get("graph", 0.0) == pytest.approx(START * told[0]["graph"][post], abs=2e-3)
        assert parts[1][post].get("graph", 0.0) == pytest.approx(5 * START * told[0]["graph"][post], abs=6e-3)
        assert parts[1][post].get("svd", 0.0) == 0.0
    assert told[1] == told[0]


async def test_a_page_of_a_kept_list_tells_of_each_of_its_posts_what_the_first_ranking_did(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also once a post has left the list, and nothing of places of which that is not kept."""
    monkeypatch.setattr(ranked_lists, "SCORED", 8)
    hidden: list[int] = []

    class Hides:
        name = "hides"

        def keep(self, query: Query, slots: Any) -> Any:
            return ~np.isin(query.catalogue.ids[: query.catalogue.size][slots], hidden)

    metrics = Metrics()
    sources: list[Source] = [CoVisitation(), Svd(), Graph(), Fresh()]
    feed = CandidatePipeline([], sources, [Hides()], [Blend(SETTINGS)], Top(), [], metrics, RankedLists(metrics))
    query = query_on(catalogue, explain=False, page_size=3, payloads=(b"state",))

    async def page(number: int) -> tuple[list[int], dict[str, list[float]]]:
        slate = await feed.run(replace(query, page=number))
        assert slate.degraded == []
        return catalogue.ids[slate.slots].tolist(), slate.outside

    whole = await feed.run(replace(query, page_size=POSTS, payloads=None))
    posts = catalogue.ids[whole.slots].tolist()
    assert whole.outside == {}, "of more places than are kept"
    eight = await feed.run(replace(query, page_size=8, payloads=None))
    said = {name: dict(zip(posts, values, strict=False)) for name, values in eight.outside.items()}
    assert {*said} == {"svd", "graph"}
    assert len({*said["svd"].values()}) > 3

    def of(shown: list[int]) -> dict[str, list[float]]:
        return {name: [values[post] for post in shown] for name, values in said.items()}

    assert await page(1) == (posts[:3], of(posts[:3]))
    assert await page(2) == (posts[3:6], of(posts[3:6]))
    assert await page(3) == (posts[6:9], {})
    hidden.append(posts[1])
    left = [post for post in posts if post not in hidden]
    assert await page(2) == (left[3:6], of(left[3:6]))
    hits = metrics.exposition([], {}).decode()
    assert 'reelstream_cache_requests_total{cache="recommendations",outcome="hit"} 3.0' in hits


async def test_nothing_of_it_is_done_unless_asked_for(catalogue: Catalogue) -> None:
    slate, found = await explained(query_on(catalogue, explain=False), ADDITIVE)
    assert found == []
    assert len(slate.slots) == POSTS
