"""Vectors of posts by content in the API: of rows that came after the training, in slots of a catalogue."""

import msgspec
import numpy as np
import pytest
from untrained_towers import untrained

from api.catalogue import Catalogue
from api.content_follower import ContentFollower
from api.content_vectors import ContentVectors
from api.metrics import Metrics
from api.mirror import Mirror
from api.models import ItemVectors, Models
from api.redis import connection
from api.sources.content import Content
from api.stages import Query
from online_models.content_tokens import post_tokens
from online_models.content_towers import AT_ONCE, ContentTowers
from schemas.models import ModelVersion
from schemas.posts import Post, decode_post
from schemas.settings import Settings
from tests.unit.evidence import evidence

DIM = 8
GRAPH = untrained(DIM, 1)
SETTINGS = Settings(redis_url="redis://127.0.0.1:1/0", kafka_bootstrap_servers="127.0.0.1:1")


def row(post_id: int, title: str) -> Post:
    return decode_post(msgspec.json.encode({"id": post_id, "title": title}))


def expected(*titles: str) -> np.ndarray:
    return ContentTowers(GRAPH).posts(post_tokens([row(1, title) for title in titles]))


@pytest.fixture
def published() -> ContentVectors:
    """Of posts 1 and 3."""
    version = ModelVersion(model="content", version="v", created_at=0.0, dim=DIM, items=2, chunks=1, metrics={})
    return ContentVectors(version, np.array([1, 3]), expected("one", "three"), ContentTowers(GRAPH))


@pytest.fixture
def catalogue() -> Catalogue:
    found = Catalogue(2)
    for post_id, title in ((1, "one"), (2, "two"), (3, "three")):
        found.set_row(post_id, row(post_id, title))
    return found


@pytest.fixture
def mirror(catalogue: Catalogue) -> Mirror:
    found = Mirror(connection("redis://127.0.0.1:1/0", 1.0), 1, Metrics())
    found.catalogue = catalogue
    return found


async def followed(mirror: Mirror, vectors: ContentVectors) -> int:
    """Until there is nothing more to do; how often there was."""
    models = Models(SETTINGS, connection("redis://127.0.0.1:1/0", 1.0))
    models.vectors = {"content": vectors}
    follower, turns = ContentFollower(mirror, models), 0
    while await follower.follow():
        turns += 1
    return turns


def vector(vectors: ContentVectors, catalogue: Catalogue, post_id: int) -> np.ndarray:
    at = vectors.rows(catalogue)[catalogue.slots[post_id]]
    assert at >= 0
    return vectors.vectors[at]


async def test_only_what_came_after_the_training_is_embedded(
    published: ContentVectors, catalogue: Catalogue, mirror: Mirror
) -> None:
    of_training = published.vectors.copy()
    published.vectors[:] = of_training[::-1]  # would be noticed if they were made anew
    assert await followed(mirror, published) == 1
    assert np.array_equal(vector(published, catalogue, 1), of_training[1])
    assert np.allclose(vector(published, catalogue, 2), expected("two")[0], atol=1e-6)
    assert np.allclose(published.norms, 1.0, atol=1e-5)


async def test_a_row_that_changes_gets_another_vector_and_an_empty_one_none(
    published: ContentVectors, catalogue: Catalogue, mirror: Mirror
) -> None:
    await followed(mirror, published)
    count = len(published.vectors)
    catalogue.set_row(3, row(3, "thirty"))
    catalogue.set_row(2, row(2, ""))
    assert await followed(mirror, published) == 1
    assert np.allclose(vector(published, catalogue, 3), expected("thirty")[0], atol=1e-6)
    assert published.rows(catalogue)[catalogue.slots[2]] == -1
    assert len(published.vectors) == count


async def test_many_posts_come_some_at_a_time_and_a_request_keeps_what_it_took(
    published: ContentVectors, catalogue: Catalogue, mirror: Mirror
) -> None:
    taken = published.vectors
    before = taken.copy()
    titles = {post_id: f"number {post_id}" for post_id in range(10, 10 + 3 * AT_ONCE)}
    for post_id, title in titles.items():
        catalogue.set_row(post_id, row(post_id, title))
    assert await followed(mirror, published) == 4
    assert np.array_equal(taken, before)
    of_titles = expected(*titles.values())
    assert np.allclose([vector(published, catalogue, post_id) for post_id in titles], of_titles, atol=1e-6)


async def test_a_catalogue_that_was_loaded_anew_is_followed_from_its_start(
    published: ContentVectors, catalogue: Catalogue, mirror: Mirror
) -> None:
    await followed(mirror, published)
    other = mirror.catalogue = Catalogue(2)
    for post_id, title in ((9, "nine"), (2, "two, changed"), (1, "one")):
        other.set_row(post_id, row(post_id, title))
    await followed(mirror, published)
    assert np.allclose(vector(published, other, 2), expected("two, changed")[0], atol=1e-6)
    assert np.allclose(vector(published, other, 9), expected("nine")[0], atol=1e-6)
    assert np.allclose(vector(published, other, 1), expected("one")[0], atol=1e-6)


async def test_a_post_that_was_known_as_a_neighbour_alone_is_embedded_when_its_row_comes(
    published: ContentVectors, catalogue: Catalogue, mirror: Mirror
) -> None:
    catalogue.set_neighbours(1, np.array([7]), np.ones(1))
    await followed(mirror, published)
    assert published.rows(catalogue)[catalogue.slots[7]] == -1
    catalogue.set_row(7, row(7, "seven"))
    await followed(mirror, published)
    assert np.allclose(vector(published, catalogue, 7), expected("seven")[0], atol=1e-6)


async def test_the_source_asks_the_newest_and_best_liked_posts_first_and_a_stranger_nothing(
    published: ContentVectors, catalogue: Catalogue, mirror: Mirror
) -> None:
    await followed(mirror, published)
    history = catalogue.known_slots([2, 1])
    query = Query("u", 1e9, catalogue, vectors={"content": published}, history=history, strengths=np.array([2.0, 1.0]))
    found = Content().retrieve(query)
    assert sorted(evidence(query, found)) == [1, 2, 3]
    taste = 2.0 * expected("two")[0] + 0.95 * expected("one")[0]
    scores = np.e * expected("one", "two", "three") @ (taste / np.linalg.norm(taste))
    by_post = evidence(query, found)
    assert [by_post[post_id] for post_id in (1, 2, 3)] == pytest.approx(scores.tolist(), abs=1e-4)

    version = ModelVersion(model="svd", version="v", created_at=0.0, dim=1, items=2, chunks=1, metrics={})
    query.vectors["svd"] = ItemVectors(version, np.array([1, 2]), np.ones((2, 1), np.float32))
    assert [*evidence(query, Content().retrieve(query))] == [3]

    stranger = Query("u", 1e9, catalogue, vectors={"content": published})
    assert evidence(stranger, Content().retrieve(stranger)) == {}
    stranger.profile = msgspec.json.encode({"username": "u", "attributes": {"club": "sea"}})
    assert len(evidence(stranger, Content().retrieve(stranger))) == 3
    nobody = Query("u", 1e9, catalogue)
    assert evidence(nobody, Content().retrieve(nobody)) == {}


async def test_what_no_other_model_knows_is_kept_until_a_post_or_another_version_comes(
    published: ContentVectors, catalogue: Catalogue, mirror: Mirror
) -> None:
    await followed(mirror, published)
    version = ModelVersion(model="svd", version="v", created_at=0.0, dim=1, items=2, chunks=1, metrics={})
    svd = ItemVectors(version, np.array([1, 2]), np.ones((2, 1), np.float32))
    newer = ItemVectors(version, np.array([1, 3]), np.ones((2, 1), np.float32))

    def found(*others: ItemVectors) -> list[int]:
        return sorted(catalogue.ids[published.only_here(catalogue, others)].tolist())

    assert found(svd) == [3]
    assert published.only_here(catalogue, (svd,)) is published.only_here(catalogue, (svd,))
    assert found(newer) == [2]
    assert found(svd, newer) == []
    assert found() == [1, 2, 3]
    assert found(svd) == [3]
    catalogue.set_row(9, row(9, "nine"))
    assert found(svd) == [3]
    await followed(mirror, published)
    assert found(svd) == [3, 9]
    catalogue.set_row(3, row(3, ""))
    await followed(mirror, published)
    assert found(svd) == [9]
