"""Every stage of the feed on a small catalogue, in arrays."""

from array import array
from pathlib import Path

import msgspec
import numpy as np
import pytest

from api import matching
from api.catalogue import Catalogue
from api.filters.age import Age
from api.filters.author_muted import AuthorMuted
from api.filters.blocked import Blocked
from api.filters.category import Category
from api.filters.deleted import Deleted
from api.filters.excluded import Excluded
from api.filters.locked import Locked
from api.filters.not_interested import NotInterested
from api.filters.not_public import NotPublic
from api.filters.project import Project
from api.filters.seen import Seen
from api.filters.served import Served
from api.models import ItemVectors
from api.query_hydrators.user_state import set_authors
from api.sources.co_visitation import CoVisitation
from api.sources.fresh import Fresh
from api.sources.popular import Popular
from api.sources.segment import Segment
from api.sources.svd import Svd
from api.sources.trending import Trending
from api.stages import Query
from schemas.item_state import ItemState
from schemas.models import ModelVersion
from schemas.posts import decode_post, encode
from schemas.settings import Settings
from schemas.user_state import UserState
from tests.unit.evidence import evidence
from tests.unit.queries import NOW, catalogue_of, query_on

SETTINGS = Settings(redis_url="redis://127.0.0.1:1/0", kafka_bootstrap_servers="127.0.0.1:1")


def test_a_catalogue_keeps_everything_while_it_grows() -> None:
    catalogue = catalogue_of(*range(1, 100), category="A")
    catalogue.set_states([50], [ItemState(decayed=[1.0, 2.0, 3.0], at=NOW, strength=4.0)])
    assert catalogue.size == 99
    assert catalogue.ids[: catalogue.size].tolist() == list(range(1, 100))
    assert catalogue.decayed[catalogue.slots[50]].tolist() == [1.0, 2.0, 3.0]
    assert (catalogue.neighbours.rows[: catalogue.size] == -1).all()
    assert catalogue.count_posts() == 99


def test_rows_that_come_together_are_put_as_one_by_one() -> None:
    rows = [
        decode_post(msgspec.json.encode(row)) for row in (
            {"id": 1, "category": {"id": 4, "name": "Ocean Life"}, "tags": ["Calm", "sea"], "username": "ann"},
            {"id": 2, "title": "#Beach and #sea", "is_locked": True, "topic": {"name": "t", "project_code": "P"}},
            {"id": 3, "mood": "calm", "category": "ocean life", "is_available_in_public_feed": False},
        )
    ]  # fmt: skip
    together, single = Catalogue(capacity=2), Catalogue(capacity=2)
    together.set_rows([post.id for post in rows], rows, [encode(post) for post in rows])
    for post in rows:
        single.set_row(post.id, post)
    assert [*together.posts] == [*single.posts] == rows
    for name, column in vars(single).items():
        found = getattr(together, name)
        if isinstance(column, np.ndarray):
            assert np.array_equal(found, column), name
        elif isinstance(column, dict | int):
            assert found == column, name


def test_neighbours_take_room_only_for_posts_that_have_any() -> None:
    catalogue = catalogue_of(*range(1, 601))
    for post_id in range(1, 601, 2):
        catalogue.set_neighbours(post_id, np.array([post_id + 1]), np.array([float(post_id)]))
    for post_id in range(1, 601):
        near, weights = catalogue.neighbours.of(catalogue.slots[post_id])
        met = [(post_id + 1, post_id)] if post_id % 2 else []
        assert [*zip(catalogue.ids[near].tolist(), weights.tolist(), strict=True)] == met
    assert len(catalogue.neighbours.counts) < 450
    catalogue.set_neighbours(1, np.array([], np.int64), np.array([]))
    assert len(catalogue.neighbours.of(0)[0]) == 0


def test_a_neighbour_without_a_row_resolves_once_the_row_comes() -> None:
    catalogue = catalogue_of(1)
    catalogue.set_neighbours(1, np.array([8, 7]), np.array([9.0, 5.0]))
    slots, weights = catalogue.neighbours.of(0)
    assert (catalogue.ids[slots].tolist(), weights.tolist()) == ([8, 7], [9.0, 5.0])
    assert not catalogue.servable[slots].any()
    catalogue.set_row(8, decode_post(b'{"id":8}'))
    assert catalogue.servable[slots].tolist() == [True, False]


def test_a_deleted_post_is_not_servable_and_its_slot_stays() -> None:
    catalogue = catalogue_of(1, 2)
    catalogue.set_row(1, None)
    assert not catalogue.has_row(1)
    assert catalogue.has_row(2)
    assert catalogue.servable[:2].tolist() == [False, True]


async def test_co_visitation_finds_neighbours_of_the_history() -> None:
    catalogue = catalogue_of(1, 2, 3, 4)
    catalogue.set_neighbours(1, np.array([3, 4]), np.array([8e6, 4e6]))
    query = query_on(catalogue, past=np.array([catalogue.slots[1]], np.int32))
    found = evidence(query, CoVisitation().retrieve(query))
    assert set(found) == {3, 4}
    assert found[3] == pytest.approx(2 * found[4])


async def test_co_visitation_finds_nothing_for_a_user_without_history() -> None:
    query = query_on(catalogue_of(1, 2))
    assert evidence(query, CoVisitation().retrieve(query)) == {}


async def test_trending_and_popular_weigh_recent_and_lasting_interest() -> None:
    catalogue = catalogue_of(1, 2, 3)
    catalogue.set_states([1], [ItemState(decayed=[0.0, 4.0, 4.0], at=NOW)])
    catalogue.set_states([2], [ItemState(decayed=[0.0, 6.0, 6.0], at=NOW - 2 * 86_400)])
    query = query_on(catalogue)
    assert evidence(query, Trending().retrieve(query)) == pytest.approx({1: 4.0, 2: 1.5})
    assert evidence(query, Popular().retrieve(query)) == pytest.approx({1: 4.0, 2: 6 * 2 ** (-2 / 7)})


async def test_fresh_orders_by_age_and_leaves_out_posts_without_a_date() -> None:
    catalogue = catalogue_of(9)
    for post_id, days in ((1, 7.0), (2, 0.0), (3, -5.0)):
        row = {"id": post_id, "created_at": (NOW - days * 86_400) * 1000}
        catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))
    query = query_on(catalogue)
    assert evidence(query, Fresh().retrieve(query)) == pytest.approx({1: 0.5, 2: 1.0, 3: 1.0})


def svd_of(vectors: dict[int, list[float]]) -> dict[str, ItemVectors]:
    dim = len(next(iter(vectors.values())))
    version = ModelVersion(model="svd", version="1", created_at=NOW, dim=dim, items=len(vectors), chunks=1, metrics={})
    matrix = np.array(list(vectors.values()), np.float32)
    return {"svd": ItemVectors(version, np.array(list(vectors)), matrix)}


async def test_svd_folds_in_the_history_by_recency_and_strength() -> None:
    catalogue = catalogue_of(1, 2, 3, 4, 5)
    vectors = svd_of({3: [1.0, 0.0], 1: [1.0, 0.0], 2: [0.0, 1.0], 4: [0.0, 1.0]})
    query = query_on(catalogue, history=np.array([0, 1, 4]), strengths=np.array([3.0, 1.0, 9.0]), vectors=vectors)
    found = evidence(query, Svd().retrieve(query))
    total = 3.0 + 0.95
    assert found == pytest.approx({1: 3 / total, 3: 3 / total, 2: 0.95 / total, 4: 0.95 / total}, rel=1e-5)


async def test_svd_follows_a_catalogue_that_grows_and_finds_nothing_without_strength() -> None:
    catalogue = catalogue_of(1)
    svd, vectors = Svd(), svd_of({1: [1.0, 0.0], 8: [0.5, 0.0]})
    query = query_on(catalogue, history=np.array([0]), strengths=np.array([1.0]), vectors=vectors)
    assert evidence(query, svd.retrieve(query)) == {1: 1.0}
    catalogue.set_row(8, decode_post(b'{"id":8}'))
    assert evidence(query, svd.retrieve(query)) == {1: 1.0, 8: 0.5}
    query.strengths = np.array([-5.0])
    assert evidence(query, svd.retrieve(query)) == {}


def test_what_nobody_may_see_is_dropped_for_its_reason() -> None:
    catalogue = catalogue_of(1, 2)
    catalogue.set_row(3, decode_post(b'{"id":3,"is_locked":true}'))
    catalogue.set_row(4, decode_post(b'{"id":4,"is_available_in_public_feed":false}'))
    catalogue.set_row(2, None)
    catalogue.slot(5)
    query, slots = query_on(catalogue), np.arange(5)
    assert Deleted().keep(query, slots).tolist() == [True, False, True, True, False]
    assert Locked().keep(query, slots).tolist() == [True, True, False, True, True]
    assert NotPublic().keep(query, slots).tolist() == [True, True, True, False, True]


def test_what_the_user_met_turned_down_and_what_the_request_or_session_names_is_dropped() -> None:
    state = UserState(older_seen=array("I", [2, 99]), older_excluded=array("I", [3]))
    query = query_on(catalogue_of(1, 2, 3), state=state, exclude=[1, 77], served=np.array([0, 2]))
    assert Seen().keep(query, np.arange(3)).tolist() == [True, False, True]
    assert NotInterested().keep(query, np.arange(3)).tolist() == [True, True, False]
    assert Excluded().keep(query, np.arange(3)).tolist() == [False, True, True]
    assert Served().keep(query, np.arange(3)).tolist() == [False, True, False]
    assert Seen().keep(query, np.array([1])).tolist() == [False]


def test_category_drops_others_only_when_one_is_named() -> None:
    catalogue = catalogue_of(1, category="A")
    catalogue.set_row(2, decode_post(b'{"id":2,"category":{"id":4,"name":"b"}}'))
    keep = Category().keep
    assert keep(query_on(catalogue), np.arange(2)).tolist() == [True, True]
    for text in ("B", "4"):
        asked = matching.category(catalogue, text)
        assert keep(query_on(catalogue, category=asked), np.arange(2)).tolist() == [False, True]
    assert keep(query_on(catalogue, category=matching.category(catalogue, "c")), np.arange(2)).tolist() == [
        False,
        False,
    ]


def test_a_project_is_that_of_the_topic_else_a_category_by_slug_else_by_id() -> None:
    catalogue = Catalogue()
    for row in (
        {"id": 1, "category": {"id": 13, "name": "Bloom Scroll"}},
        {"id": 2, "category": {"id": 4, "name": "Flic"}, "topic": {"name": "t", "project_code": "bloom"}},
        {"id": 3, "category": {"id": 4, "name": "Flic"}, "topic": []},
    ):
        catalogue.set_row(int(str(row["id"])), decode_post(msgspec.json.encode(row)))
    found = {}
    for text in ("BLOOM", "bloom-scroll", "4", "flic", "nothing"):
        asked = matching.project(catalogue, text)
        kept = Project().keep(query_on(catalogue, project=asked), np.arange(3))
        found[text] = asked.by, catalogue.ids[:3][kept].tolist()
    assert found == {
        "BLOOM": ("topic", [2]), "bloom-scroll": ("slug", [1]), "4": ("id", [2, 3]), "flic": ("slug", [2, 3]),
        "nothing": (None, []),
    }  # fmt: skip


def test_authors_whom_the_user_muted_or_blocked_are_dropped() -> None:
    catalogue = Catalogue()
    for post_id, author in ((1, "ann"), (2, "Bob"), (3, "")):
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id, "username": author})))
    query = query_on(catalogue)
    profile = {"username": "u", "attributes": {"muted_authors": ["ANN", 7, "nobody"], "blocked_authors": "bob"}}
    set_authors(query, msgspec.json.encode(profile))
    assert AuthorMuted().keep(query, np.arange(3)).tolist() == [False, True, True]
    assert Blocked().keep(query, np.arange(3)).tolist() == [True, True, True]
    query.blocked = [catalogue.author_codes["bob"]]
    assert Blocked().keep(query, np.arange(3)).tolist() == [True, False, True]


@pytest.mark.parametrize(
    "stage", ["sources", "filters", "scorers", "selector", "query_hydrators", "side_effects", "explainers"]
)
def test_every_part_on_disk_is_listed_in_the_pipeline(stage: str) -> None:
    root = Path(__file__).parents[2] / "api"
    listed = (root / "pipelines.py").read_text()
    for file in (root / stage).glob("[!_]*.py"):
        assert f"from .{stage}.{file.stem} import" in listed, f"list {file.name} in api/pipelines.py, feed_pipeline"


def test_every_route_on_disk_is_listed_in_the_app() -> None:
    root = Path(__file__).parents[2] / "api"
    listed = (root / "app.py").read_text()
    for file in (root / "routes").glob("[!_]*.py"):
        assert f"from .routes.{file.stem} import" in listed, f"list the routes of {file.name} in api/app.py, ROUTES"


def test_what_is_older_than_the_setting_or_the_request_allows_is_held_back_and_so_is_what_has_no_date() -> None:
    catalogue = catalogue_of(1)
    for post_id, days in ((2, 1.0), (3, 10.0), (4, 100.0), (5, -1.0)):
        row = {"id": post_id, "created_at": (NOW - days * 86_400) * 1000}
        catalogue.set_row(post_id, decode_post(msgspec.json.encode(row)))

    def kept(setting: float | None, asked: float | None) -> list[int]:
        age = Age(Settings(_env_file=None, max_post_age_days=setting))  # type: ignore[call-arg]
        query = query_on(catalogue, max_age_days=asked)
        return catalogue.ids[np.arange(5)[age.keep(query, np.arange(5))]].tolist()

    assert kept(None, None) == [1, 2, 3, 4, 5]
    assert kept(30.0, None) == kept(None, 30.0) == kept(30.0, 300.0) == [2, 3, 5]
    assert kept(30.0, 5.0) == [2, 5]


async def profiled(catalogue: Catalogue, events: int = 0, **row: object) -> tuple[Query, dict[int, float]]:
    query = query_on(catalogue, state=UserState(events=events))
    set_authors(query, msgspec.json.encode({"username": "u", **row}))
    return query, evidence(query, Segment().retrieve(query))


async def test_what_a_user_row_speaks_of_is_found_by_popularity() -> None:
    catalogue = Catalogue()
    for post_id, fields in enumerate((
        {"category": "Chess"}, {"category": "Chess"}, {"category": {"id": 2, "name": "Tea Room"}},
        {"topic": {"name": "t", "project_code": "walk"}}, {"tags": ["knitting", "night"]}, {"tags": ["zen"]}, {},
    ), start=1):  # fmt: skip
        catalogue.set_row(post_id, decode_post(msgspec.json.encode({"id": post_id, **fields})))
        catalogue.set_states([post_id], [ItemState(decayed=[0.0, 0.0, float(post_id)], at=NOW)])
    popular = {post_id: 1 + post_id for post_id in range(1, 8)}

    async def of(**row: object) -> dict[int, float]:
        return (await profiled(catalogue, **row))[1]

    assert await of(attributes={"interests": ["CHESS"]}) == pytest.approx({1: popular[1], 2: popular[2]})
    assert await of(attributes={"about": {"likes": "tea-room"}}) == pytest.approx({3: popular[3]})
    assert await of(bio="I walk.") == pytest.approx({4: popular[4]})
    assert await of(bio="knitting, mostly") == pytest.approx({5: popular[5] / 2})
    assert await of(attributes={"mood": "calm"}) == pytest.approx({6: popular[6]})
    for silent in ({"attributes": {"muted_authors": ["Chess"], "n": 7, "none": None}}, {"bio": ""}, {"bio": "Hello"}):
        assert await of(**silent) == {}
    assert evidence(query_on(catalogue), Segment().retrieve(query_on(catalogue))) == {}
