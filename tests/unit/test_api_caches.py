"""What the API keeps to use again: lifetimes, bounds, hits, and what ends a ranked list."""

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from api.caches import Cache
from api.candidate_pipeline import CandidatePipeline, Slate
from api.catalogue import Catalogue
from api.filters.deleted import Deleted
from api.filters.not_public import NotPublic
from api.filters.seen import Seen
from api.filters.served import Served
from api.items import EncodedPosts, item
from api.learnt import LearntPosts
from api.metrics import Metrics
from api.post_rows import PostRows
from api.ranked_lists import LIST_SECONDS, MOVED_SECONDS, RankedLists
from api.retrieved import Retrieved, nothing
from api.scorers.blend import Blend
from api.selector.exploration import Exploration
from api.selector.top import Top
from api.sources.popular import Popular
from api.stages import EXPLORATION, Query
from api.visits import Visits
from online_models.user_history import learn_one
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES
from schemas.item_state import ItemState
from schemas.posts import decode_described, decode_post, encode
from schemas.settings import Settings
from schemas.user_state import HistoryEvent, UserState
from schemas.visits import Visit

NOW = 1_800_000_000.0
POSTS = 250


class User:
    """Reads a state that tests change, and counts how often it had to be understood."""

    name = "user_state"

    def __init__(self) -> None:
        self.state, self.decoded = UserState(), 0

    def event(self, post_id: int) -> None:
        learn_one(self.state, HistoryEvent(int(NOW * 1000), post_id, TYPE_CODES["view"], 1000), DEFAULT_WEIGHTS)

    async def hydrate(self, query: Query) -> None:
        raise NotImplementedError

    async def read(self, query: Query) -> None:
        query.payloads = (self.state.encode(), None, None)

    def decode(self, query: Query) -> None:
        self.decoded += 1
        query.state = UserState.decode(query.payloads[0] if query.payloads else None)


@pytest.fixture
def catalogue() -> Catalogue:
    """Posts 1 to POSTS, the higher the id the more popular."""
    catalogue = Catalogue()
    for post_id in range(1, POSTS + 1):
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id})))
        catalogue.set_states([post_id], [ItemState(decayed=[float(post_id)] * 3, at=NOW)])
    return catalogue


@pytest.fixture
def user() -> User:
    return User()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def feed(user: User, metrics: Metrics) -> CandidatePipeline:
    return CandidatePipeline(
        [user], [Popular()], [Deleted(), NotPublic(), Seen(), Served()], [Blend(Settings())], Exploration(Top()), [],
        metrics, RankedLists(metrics),
    )  # fmt: skip


def looks(metrics: Metrics, cache: str) -> dict[str, float]:
    samples = next(iter(metrics.cache_requests.collect())).samples
    return {
        sample.labels["outcome"]: sample.value
        for sample in samples
        if sample.name.endswith("_total") and sample.labels["cache"] == cache
    }


def ids(query: Query, slate: Slate) -> list[int]:
    return query.catalogue.ids[slate.slots].tolist()


async def test_a_list_is_ranked_once_and_the_next_page_of_it_is_the_same_but_for_its_id(
    feed: CandidatePipeline, catalogue: Catalogue, user: User, metrics: Metrics
) -> None:
    query = Query("u", NOW, catalogue)
    first, again = await feed.run(query), await feed.run(Query("u", NOW + 1, catalogue))
    assert user.decoded == 1
    assert looks(metrics, "recommendations") == {"hit": 1, "miss": 1}
    assert ids(query, first) == ids(query, again)
    assert first.scores.tolist() == again.scores.tolist()
    assert first.sources == again.sources
    assert first.rows is not None
    assert again.rows is not None
    assert first.rows() == again.rows()
    assert [[*row] for row in first.rows()] == first.sources
    assert any(EXPLORATION in sources for sources in again.sources), "the propensity is told again"
    assert (first.algorithm_used, first.total_count) == (again.algorithm_used, again.total_count)
    assert first.recommendation_id != again.recommendation_id
    assert b'reelstream_cache_requests_total{cache="recommendations",outcome="hit"} 1.0' in metrics.exposition([], {})


async def test_an_event_of_the_user_ends_the_list_at_once(
    feed: CandidatePipeline, catalogue: Catalogue, user: User
) -> None:
    query = Query("u", NOW, catalogue)
    assert POSTS in ids(query, await feed.run(query))
    user.event(POSTS)
    assert POSTS not in ids(query, await feed.run(Query("u", NOW, catalogue)))
    assert user.decoded == 2


async def test_what_is_hidden_deleted_or_served_leaves_a_list_that_is_kept(
    feed: CandidatePipeline, catalogue: Catalogue, user: User
) -> None:
    query = Query("u", NOW, catalogue)
    before = ids(query, await feed.run(query))
    gone = before[:3]
    hidden = msgspec.json.encode({"id": gone[0], "is_available_in_public_feed": False})
    catalogue.set_row(gone[0], decode_post(hidden))
    catalogue.set_row(gone[1], None)
    served = np.array([catalogue.slots[gone[2]]])
    after = ids(query, await feed.run(Query("u", NOW, catalogue, served=served)))
    assert user.decoded == 1
    assert after[:17] == before[3:]
    assert len(after) == len({*after} - {*gone}) == 20, "a new list is made of what is left"


async def test_rows_that_left_a_list_whole_do_not_hide_from_it_what_later_ones_say(
    feed: CandidatePipeline, catalogue: Catalogue
) -> None:
    query = Query("u", NOW, catalogue)
    before = ids(query, await feed.run(query))
    catalogue.set_row(POSTS + 1, decode_post(msgspec.json.encode({"id": POSTS + 1})))
    for _ in range(2):
        assert ids(query, await feed.run(Query("u", NOW, catalogue))) == before
    catalogue.set_row(before[1], None)
    assert before[1] not in ids(query, await feed.run(Query("u", NOW, catalogue)))


async def test_without_a_candidate_a_list_is_of_what_is_popular(
    catalogue: Catalogue, user: User, metrics: Metrics
) -> None:
    class Silent:
        name, personal = "silent", True

        def retrieve(self, query: Query) -> Retrieved:
            return nothing()

    feed = CandidatePipeline([user], [Silent()], [Deleted()], [], Top(), [], metrics, RankedLists(metrics))
    query = Query("u", NOW, catalogue)
    for _ in range(2):
        slate = await feed.run(query)
        assert ids(query, slate) == [*range(POSTS, POSTS - 20, -1)]
        assert slate.sources == [["popular"]] * 20
        assert slate.rows is not None
        assert slate.rows()[0] == {"popular": pytest.approx(POSTS)}
    assert looks(metrics, "recommendations") == {"hit": 1, "miss": 1}


async def test_pages_by_number_and_by_cursor_share_nothing_and_are_ranked_once(
    feed: CandidatePipeline, catalogue: Catalogue, user: User
) -> None:
    query = Query("u", NOW, catalogue)
    slate = await feed.run(query)
    assert slate.ranked is not None
    visit = slate.ranked.visit = Visit.begin(b"", POSTS, catalogue.ids[slate.ranking])
    shown = ids(query, slate)
    for page in range(2, 6):
        following = Query("u", NOW + page, catalogue, page=page, visit=visit)
        shown += ids(following, await feed.run(following))
    assert user.decoded == 1
    assert len(shown) == len({*shown}) == 100


async def test_a_list_that_is_looked_at_for_minutes_takes_a_visit_each_minute_and_not_each_time(
    feed: CandidatePipeline, catalogue: Catalogue
) -> None:
    class Redis:
        def pipeline(self, transaction: bool) -> None:
            raise ConnectionError

    visits, taken = Visits(Redis()), []  # type: ignore[arg-type]
    for second in range(0, 200, 10):
        query = Query("u", NOW + second, catalogue)
        slate = await feed.run(query)
        visits.keep(query, slate)
        assert slate.ranked is not None
        assert slate.ranked.visit is not None
        taken.append(slate.ranked.visit.id)
    assert len({*taken}) == 4
    assert taken == sorted(taken, key=taken.index)
    await visits.close()


async def test_the_end_of_a_list_is_found_as_without_one(feed: CandidatePipeline, catalogue: Catalogue) -> None:
    pages = [await feed.run(Query("u", NOW, catalogue, page=page, page_size=50)) for page in range(1, 7)]
    shown = [slot for slate in pages for slot in slate.slots.tolist()]
    assert len(shown) == len({*shown}) == POSTS
    assert [slate.end for slate in pages] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("change", ["catalogue", "vectors", "asked", "page_size", "username", "explain", "profile"])
async def test_a_list_is_of_one_reader_one_question_and_one_state_of_the_models(
    feed: CandidatePipeline, catalogue: Catalogue, user: User, change: str
) -> None:
    await feed.run(Query("u", NOW, catalogue))
    other = Query("u", NOW, catalogue)
    match change:
        case "catalogue":
            other.catalogue = Catalogue()
        case "vectors":
            other.vectors = {"svd": SimpleNamespace(version=SimpleNamespace(version="2"))}  # type: ignore[dict-item]
        case "asked":
            other.asked = b"another"
        case "page_size":
            other.page_size = 10
        case "username":
            other.username = "v"
        case "explain":
            other.explain = True
        case "profile":
            user.state.events += 1
    await feed.run(other)
    assert user.decoded == 2


async def test_a_page_of_a_kept_list_names_the_models_that_ranked_it(catalogue: Catalogue, metrics: Metrics) -> None:
    class Knows(User):
        def decode(self, query: Query) -> None:
            super().decode(query)
            query.past = np.zeros(1, np.int32)

    feed = CandidatePipeline([Knows()], [Popular()], [Deleted()], [], Top(), [], metrics, RankedLists(metrics))
    vectors = {"svd": SimpleNamespace(version=SimpleNamespace(version="3"))}
    weights = SimpleNamespace(tag_share=np.ones(1, np.float32), mean_value=0.5, spread=1.0)
    learnt = SimpleNamespace(version=9, posts=LearntPosts(catalogue, 5 * 2 + 3), weights=weights)
    pages = []
    for _ in range(2):
        query = Query("u", NOW, catalogue, vectors=vectors, online=learnt)  # type: ignore[arg-type]
        pages.append((await feed.run(query)).model_versions)
    assert pages == [{"svd": "3", "online": "9"}] * 2


async def test_a_list_is_made_anew_when_posts_moved_a_while_ago_and_kept_when_nothing_did(
    feed: CandidatePipeline, catalogue: Catalogue, user: User
) -> None:
    await feed.run(Query("u", NOW, catalogue))
    await feed.run(Query("u", NOW + 2 * MOVED_SECONDS, catalogue))
    assert user.decoded == 1
    catalogue.set_states([1], [ItemState(decayed=[1e9] * 3, at=NOW)])
    await feed.run(Query("u", NOW + MOVED_SECONDS - 1, catalogue))
    assert user.decoded == 1
    moved = Query("u", NOW + 2 * MOVED_SECONDS, catalogue)
    assert ids(moved, await feed.run(moved))[0] == 1
    assert user.decoded == 2


async def test_a_list_ranked_by_what_was_worked_out_before_posts_moved_does_not_pass_for_newer_than_that(
    feed: CandidatePipeline, catalogue: Catalogue
) -> None:
    await feed.run(Query("somebody before", NOW, catalogue))
    catalogue.set_states([1], [ItemState(decayed=[1e9] * 3, at=NOW)])
    old = Query("u", NOW + 0.5, catalogue)
    assert 1 not in ids(old, await feed.run(old))
    later = Query("u", NOW + 2 * MOVED_SECONDS, catalogue)
    assert ids(later, await feed.run(later))[0] == 1


def test_lifetimes_are_those_that_were_asked_for() -> None:
    from api.models import POST_SECONDS, USER_SECONDS

    assert (LIST_SECONDS, USER_SECONDS, POST_SECONDS) == (1_800, 3_600, 86_400)
    assert Settings(_env_file=None).cache_ttl == 3_600


def test_a_cache_is_bounded_in_bytes_drops_the_least_used_and_what_is_too_old(metrics: Metrics) -> None:
    cache: Cache[str] = Cache("mine", 10.0, 100, metrics)
    for key in "abc":
        cache.put(key, key.upper(), 40, now=0.0)
    assert (cache.get("a", 1.0), cache.get("b", 1.0), cache.bytes) == (None, "B", 80)
    cache.put("d", "D", 40, now=1.0)
    assert (cache.get("c", 1.0), cache.get("b", 9.9), cache.get("b", 10.0), len(cache)) == (None, "B", None, 1)
    cache.put("whole", "W", 101, now=1.0)
    assert cache.get("whole", 1.0) is None


def test_a_post_is_encoded_once_until_its_row_changes(metrics: Metrics) -> None:
    posts, rows = EncodedPosts(3_600, metrics), PostRows()
    old, new = (decode_post(msgspec.json.encode({"id": 7, "title": title})) for title in ("old", "new"))
    rows.add(2)
    rows.put(0, encode(old))
    assert [msgspec.json.decode(encoded) for encoded in posts.of(rows, [0, 1, 0])] == [item(old)] * 2
    rows.put(0, encode(new))
    assert msgspec.json.decode(posts.of(rows, [0])[0]) == item(new)
    assert looks(metrics, "posts") == {"hit": 1, "miss": 2}


def test_a_row_whose_json_is_damaged_is_left_out(metrics: Metrics) -> None:
    rows, row = PostRows(), encode(decode_post(b'{"id": 7, "title": "good"}'))
    good = decode_described(row)
    for each in (row, msgspec.msgpack.encode(msgspec.structs.replace(good, item=good.item[:-2]))):
        rows.add(1)
        rows.put(len(rows) - 1, each)
    assert [post is not None for post in rows] == [True, False]
    assert len(EncodedPosts(3_600, metrics).of(rows, [1, 0])) == 1
