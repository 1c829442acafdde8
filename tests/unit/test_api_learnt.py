"""Sources and scorer of what is learnt, on arrays small enough to know the answer."""

import dataclasses
import math
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from api.candidate_pipeline import CandidatePipeline
from api.catalogue import Catalogue
from api.compiled import compile_all
from api.learnt import Learnt, LearntPosts, read_weights
from api.learnt_ease import LearntEase
from api.metrics import Metrics
from api.pipelines import feed_sources
from api.query_hydrators.user_state import UserStateHydrator
from api.ratings import predicted_ratings
from api.scorers import ranker
from api.scorers.blend import Blend, features
from api.selector import exploration, mmr
from api.selector.top import Top
from api.sources import segment
from api.sources.co_visitation import CoVisitation
from api.sources.ease import Ease
from api.sources.factors import Factors
from api.sources.fresh import Fresh
from api.sources.next import Next
from api.sources.popularity import Popularity
from api.sources.sequence import Sequence
from api.sources.taste_factors import TasteFactors
from api.sources.tastes import Tastes
from api.sources.trending_1h import TrendingHour
from api.stages import Query, Source
from online_models import aversion
from online_models.blend import HIDDEN
from online_models.co_visitation import growth
from online_models.features import FEATURES
from online_models.post_table import TAG_CODES
from online_models.sources import NAMES
from schemas import ease
from schemas.errors import ReelstreamError
from schemas.events import TYPE_CODES
from schemas.history import History
from schemas.item_state import ItemState
from schemas.learnt import RATING, Weights, decode_user, decode_weights, encode_user, encode_weights, post_type
from schemas.posts import decode_post
from schemas.settings import Settings
from schemas.user_state import HistoryEvent, UserState
from tests.unit.evidence import evidence

NOW = 1_800_000_000.0
SETTINGS = Settings(redis_url="redis://127.0.0.1:1/0", kafka_bootstrap_servers="127.0.0.1:1")
HYDRATOR = UserStateHydrator(None, SETTINGS)  # type: ignore[arg-type]
DIM, POSTS = 2, 6


def weights(**linear: float) -> Weights:
    """Of the features named; the hidden units count nothing."""
    counts = np.array([linear.get(name, 0.0) for name in FEATURES], np.float32)
    hidden = np.ones((HIDDEN, len(FEATURES) + 1), np.float32), np.zeros(HIDDEN, np.float32)
    return Weights([*FEATURES], counts, *hidden, np.ones(TAG_CODES, np.float32), 0.5, 86_400.0)


@pytest.fixture
def catalogue() -> Catalogue:
    """Posts 1 to POSTS; odd ones have tag and author in common, and even ones."""
    catalogue = Catalogue(capacity=2)
    for post_id in range(1, POSTS + 1):
        row = {"id": post_id, "tags": [f"kind {post_id % 2}"], "username": f"author {post_id % 2}",
               "created_at": (NOW - 3600 * post_id) * 1000}  # fmt: skip
        catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))
        catalogue.set_states([post_id], [ItemState(decayed=[float(post_id)] * 3, at=NOW)])
    catalogue.set_neighbours(1, np.array([3, 2]), growth(NOW) * np.array([8.0, 4.0]))
    return catalogue


def records(**columns: object) -> np.ndarray:
    """Of posts 1 to 4; nobody came to the others."""
    made = np.zeros(4, post_type(5 * DIM + 3))
    made["first_at"] = made["last_at"] = NOW - 60.0
    for name, column in columns.items():
        made[name] = column
    return made


def query_on(catalogue: Catalogue, made: np.ndarray | None = None, **fields: object) -> Query:
    """Of a user whose last post is 1."""
    posts = LearntPosts(catalogue, 5 * DIM + 3)
    posts.set([1, 2, 3, 4], [record.tobytes() for record in (records() if made is None else made)])
    past = np.array([0], np.int32)
    given: dict[str, object] = {
        "online": Learnt(7, posts, weights()),
        "past": past,
        "glad": past,
        "last_at": NOW - 600,
        "hours": np.full(2, -1, np.int8),
    }
    return Query("u", NOW, catalogue, **given | fields)  # type: ignore[arg-type]


async def found(source: Source, query: Query) -> dict[int, float]:
    return evidence(query, source.retrieve(query))


@pytest.mark.parametrize("online", [True, False])
async def test_without_a_learner_or_a_past_nothing_is_learnt(catalogue: Catalogue, online: bool) -> None:
    query = query_on(catalogue, **({"past": np.empty(0, np.int32)} if online else {"online": None}))
    for source in (Ease(), Next(), Sequence(), TasteFactors(), Factors(), Tastes(), TrendingHour(), Popularity()):
        assert await found(source, query) == {}
    assert query.model_versions == {}


async def test_co_visitation_weighs_the_norm_of_a_post(catalogue: Catalogue) -> None:
    catalogue.set_states([3], [ItemState(decayed=[0.0] * 3, at=NOW, strength=growth(NOW) * 450.0)])
    assert await found(CoVisitation(), query_on(catalogue)) == pytest.approx({3: 8 / math.sqrt(30 * 480), 2: 4 / 30})


async def test_ease_adds_up_what_the_last_posts_say_and_keeps_what_is_for_a_post(catalogue: Catalogue) -> None:
    said = np.array([[0.0, 0.4, -0.1], [0.2, 0.0, 0.3], [0.0, -0.4, 0.0]], np.float32)  # by posts 1, 4 and 9
    query = query_on(catalogue, past=np.array([0, 3], np.int32))
    assert query.online is not None
    assert await found(Ease(), query) == {}, "the learner has solved nothing yet"
    query.online = dataclasses.replace(
        query.online, ease=LearntEase(catalogue, ease.decode(ease.encode(np.array([1, 4, 9]), said)))
    )
    assert await found(Ease(), query) == pytest.approx({1: 0.95 * 0.2, 4: 0.4, 9: -0.1 + 0.95 * 0.3}, abs=1e-4)
    query.past = np.array([1], np.int32)
    assert await found(Ease(), query) == {}, "nothing is known of post 2"


async def test_next_are_the_followers_of_the_last_posts(catalogue: Catalogue) -> None:
    made = records()
    made["left"][0] = 10.0 * growth(NOW)
    made["followers"][0, :3], made["shares"][0, :3] = [4, 2, 999], [0.5, 0.25, 0.125]
    assert await found(Next(), query_on(catalogue, made)) == pytest.approx({4: 5 / 30, 2: 2.5 / 30}, rel=1e-3)


def vectors(**parts: list[list[float]]) -> np.ndarray:
    """Of posts 1 to 4, in the order of the record."""
    widths = {"inputs0": DIM, "outputs0": DIM, "bias0": 1, "inputs1": DIM, "outputs1": DIM, "bias1": 1, "outputs2": DIM,
              "bias2": 1}  # fmt: skip
    return np.concatenate([np.array(parts.get(name, np.zeros((4, width)))) for name, width in widths.items()], axis=1)


@pytest.mark.parametrize(("source", "number"), [(Sequence(), 0), (TasteFactors(), 1)])
async def test_factors_of_sums_fold_the_past_in(catalogue: Catalogue, source: Source, number: int) -> None:
    made = records()
    inputs = [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    outputs, bias = [[0.0, 0.0], [0.0, 0.0], [2.0, 0.0], [-1.0, 4.0]], [[0.0], [0.0], [0.5], [0.0]]
    made["vectors"] = vectors(**{f"inputs{number}": inputs, f"outputs{number}": outputs, f"bias{number}": bias})
    assert await found(source, query_on(catalogue, made)) == pytest.approx({1: 0.0, 2: 0.0, 3: 2.5, 4: -1.0})
    both = await found(source, query_on(catalogue, made, past=np.array([1, 0], np.int32)))
    assert both[4] > both[3]


async def test_factors_need_the_users_own_vector(catalogue: Catalogue) -> None:
    made = records()
    outputs, bias = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [[0.0], [0.0], [0.0], [9.0]]
    made["vectors"] = vectors(outputs2=outputs, bias2=bias)
    query = query_on(catalogue, made, own=np.array([1.0, -1.0], np.float32))
    assert await found(Factors(), query) == {1: 1.0, 2: 2.0, 3: -1.0, 4: 9.0}
    query.own = None
    assert await found(Factors(), query) == {}


async def test_tastes_are_tags_and_authors_of_the_past(catalogue: Catalogue) -> None:
    assert await found(Tastes(), query_on(catalogue)) == pytest.approx({1: 1.5, 3: 1.5, 5: 1.5})


async def test_the_last_hour_and_everybody_who_ever_came(catalogue: Catalogue) -> None:
    catalogue.set_states([2], [ItemState(decayed=[6.0] * 3, at=NOW - 3600.0)])
    query = query_on(catalogue, records(total=[3, 0, 1, 2]))
    assert (await found(TrendingHour(), query))[2] == pytest.approx(3.0)
    assert await found(Popularity(), query) == {1: 3.0, 3: 1.0, 4: 2.0}


async def run(query: Query, *sources: Source) -> list[int]:
    pipeline = CandidatePipeline([], [*sources], [], [Blend(SETTINGS)], Top(), [], Metrics())
    slate = await pipeline.run(query)
    assert slate.degraded == []
    return query.catalogue.ids[slate.slots].tolist()[:3]


async def test_learnt_weights_order_the_feed(catalogue: Catalogue) -> None:
    query = query_on(catalogue, records(total=[3, 9, 1, 2]))
    posts = query.online.posts  # type: ignore[union-attr]
    for weight, expected in ((1.0, [2, 1, 4]), (-1.0, [5, 6, 3])):  # nobody came to 5 and 6
        query.online = Learnt(8, posts, weights(popularity_rank=weight))
        assert await run(query, Popularity(), TrendingHour()) == expected
    assert query.model_versions == {"online": "8"}


async def test_a_user_who_has_seen_everything_gets_an_empty_page(catalogue: Catalogue) -> None:
    class Nothing:
        name = "nothing"

        def keep(self, query: Query, slots: np.ndarray | slice) -> np.ndarray:
            return np.zeros(query.catalogue.size, np.bool_)

    feed = CandidatePipeline([], feed_sources(), [Nothing()], [Blend(SETTINGS)], Top(), [], Metrics())
    slate = await feed.run(query_on(catalogue))
    assert (len(slate.slots), slate.degraded) == (0, [])


async def test_a_source_that_the_learner_does_not_have_is_added_with_the_first_weight(catalogue: Catalogue) -> None:
    query = query_on(catalogue)
    query.online = Learnt(8, query.online.posts, weights(popularity_rank=0.001))  # type: ignore[union-attr]
    assert await run(query, Popularity(), Fresh()) == [1, 2, 3]


async def test_features_of_sources_stand_where_the_learner_has_them(catalogue: Catalogue) -> None:
    query, kept = query_on(catalogue, records(total=[3, 9, 1, 2])), []

    class Seeing(Blend):
        def score(self, query, candidates, scores):  # type: ignore[no-untyped-def]
            scored = super().score(query, candidates, scores)
            kept.append((candidates, features(candidates)))
            return scored

    pipeline = CandidatePipeline([], [Popularity(), Fresh()], [], [Seeing(SETTINGS)], Top(), [], Metrics())
    assert (await pipeline.run(query)).degraded == []
    ((candidates, made),) = kept
    alone = [name for name in FEATURES if " by " not in name]  # the blend makes the products
    assert made.shape == (POSTS, len(alone))
    of = {name: made[:, at] for at, name in enumerate(alone)}
    assert catalogue.ids[candidates.slots[of["popularity_value"].argmax()]] == 2
    assert of["popularity_value"].max() == 0.0
    assert of["popularity_rank"].max() == 1.0
    assert not made[:, : 2 * NAMES.index("popularity")].any()
    nobody_came = np.isin(catalogue.ids[candidates.slots], [5, 6])
    assert not of["idle"][nobody_came].any()
    assert (of["idle"][~nobody_came] > 0).all()
    assert of["gap"] == pytest.approx(np.full(POSTS, math.log(11) / 5 - 1))


def test_everything_compiles() -> None:
    assert compile_all(SETTINGS) == []
    assert all(
        function.signatures
        for function in (exploration._explore, aversion._fill, mmr.choose, segment.match, ranker._read)
    )
    assert len({source.name for source in feed_sources()}) == len(feed_sources())


def test_the_first_feed_finds_the_machine_code_of_a_solution_as_it_arrives() -> None:
    program = """
import numpy as np
from api.compiled import compile_all
from online_models import ease
from schemas.ease import decode, encode
from schemas.settings import Settings

compile_all(Settings(redis_url="redis://127.0.0.1:1/0", kafka_bootstrap_servers="127.0.0.1:1"))
ease.summed(np.zeros(1, np.int32), decode(encode(np.array([1]), np.ones((1, 1), np.float32))).codes)
print(len(ease._summed.signatures))
"""
    # In a process of its own: in this one, other tests have compiled it.
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"1\n"


def test_weights_are_read_as_they_were_written_and_others_are_refused() -> None:
    written = weights(gap=2.0)
    read = read_weights(encode_weights(written))
    assert read.features == written.features
    for before, after in zip(written[1:5], read[1:5], strict=True):
        assert np.array_equal(before, after)
    assert read[5:] == written[5:]
    packed = encode_weights(written._replace(features=[*FEATURES[:-1], "other"]))
    with pytest.raises(ReelstreamError, match="same version"):
        read_weights(packed)
    for spoilt in (b"", b"\xff", encode_weights(written)[:-9], encode_weights(written._replace(outer=np.ones(3)))):
        with pytest.raises(ReelstreamError):
            decode_weights(spoilt)


def test_a_users_vector_has_to_have_the_width() -> None:
    packed = encode_user(np.array([0.5, -2.0, *[1.0] * RATING]))
    assert decode_user(packed, 2).tolist() == [0.5, -2.0, *[1.0] * RATING]  # type: ignore[union-attr]
    assert decode_user(packed, 3) is decode_user(None, 2) is None


@pytest.mark.parametrize(
    ("events", "past", "glad"),
    [("1like 2view 3share", [3, 2, 1], [3, 1]), ("1like 2like 1not_interested", [2], [2]), ("1exit 1like", [1], [1]),
     ("1like 1view 2view", [2, 1], [2, 1]), ("1exit", [], [])],
)  # fmt: skip
def test_the_last_event_with_a_post_says_what_the_user_thinks_of_it(
    catalogue: Catalogue, events: str, past: list[int], glad: list[int]
) -> None:
    happened = [
        HistoryEvent(1000 * at, int(event[0]), TYPE_CODES[event[1:]], 400 if event[1:] == "view" else 1000)
        for at, event in enumerate(events.split())
    ]
    query = query_on(catalogue, state=UserState(History(happened)))
    HYDRATOR.set_history(query)
    assert catalogue.ids[query.past].tolist() == past
    assert catalogue.ids[query.glad].tolist() == glad


def test_explain_tells_what_the_user_would_rate(catalogue: Catalogue) -> None:
    made, user = records(), np.zeros(RATING, np.float32)
    made["rating"][:2, 0], made["rating"][1, 1] = [0.1, -0.2], 0.5
    user[:2] = 0.05, 0.4
    query = query_on(catalogue, made, rating=user)
    query.online = Learnt(8, query.online.posts, weights()._replace(mean_rating=0.6))  # type: ignore[union-attr]
    slots = catalogue.known_slots([1, 2, 3, 6])
    assert predicted_ratings(query, slots) == pytest.approx({0: 75.0, 1: 65.0}), "nobody rated the others"
    query.rating = np.zeros(RATING, np.float32)
    assert predicted_ratings(query, slots) == {}


def test_a_dislike_is_not_when_the_user_was_here_last(catalogue: Catalogue) -> None:
    def last_at(*kinds: str) -> float:
        events = [HistoryEvent(1000 * at, at, TYPE_CODES[kind], 0) for at, kind in enumerate(kinds, 5)]
        query = query_on(catalogue, state=UserState(History(events)))
        HYDRATOR.set_history(query)
        return query.last_at

    assert last_at("like", "view", "not_interested", "exit") == 6.0
    assert last_at("not_interested") == last_at() == 0.0
