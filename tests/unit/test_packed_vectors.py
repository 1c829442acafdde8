"""The best of many products, found by bounds: none is missed, whatever the sizes of rows and columns."""

import numpy as np
import pytest

from api.catalogue import Catalogue
from api.models import ItemVectors, Models
from api.redis import connection
from api.stages import Query
from online_models.packed_vectors import PackedVectors, Vectors, products
from schemas.models import ModelVersion
from schemas.posts import decode_post
from schemas.settings import Settings
from tests.unit.evidence import scores_of_all


@pytest.mark.parametrize("columns", [1, 16, 193, 700])
def test_the_best_products_are_those_of_single_precision(columns: int) -> None:
    draw = np.random.default_rng(columns)
    count = 3_000
    slots = draw.permutation(2 * count)[:count].astype(np.int32)
    rows, offsets = np.full(2 * count, -1, np.int32), draw.normal(size=2 * count).astype(np.float32)
    rows[slots] = np.arange(count)
    vectors = draw.normal(size=(count, columns)).astype(np.float32) * np.exp(draw.normal(0, 1, (count, 1)), dtype="f4")
    packed, every = PackedVectors(columns), Vectors(vectors, rows, offsets)
    packed.put(slots[:10], vectors[:10], offsets[slots[:10]])
    packed.put(slots[5:], vectors[5:], offsets[slots[5:]])  # some for the second time
    best, exact = np.empty(80, np.int32), np.empty(2 * count)
    for _ in range(5):
        user = draw.normal(size=columns).astype(np.float32)
        allowed = draw.random(2 * count) < draw.random()
        products(every, np.arange(2 * count, dtype=np.int32), user, -np.inf, exact)
        expected = np.argsort(np.where(allowed, -exact, np.inf), kind="stable")[:80]
        expected = expected[allowed[expected] & (exact[expected] > -np.inf)]
        assert best[: packed.best(user, allowed, every, -np.inf, best)].tolist() == expected.tolist()


def test_products_are_those_of_numpy_and_a_shorter_vector_belongs_to_the_first_columns() -> None:
    draw = np.random.default_rng(1)
    vectors, user = draw.normal(size=(2, 7)).astype(np.float32), draw.normal(size=5).astype(np.float32)
    found = np.empty(3)
    every = Vectors(vectors, np.array([1, -1, 0]), np.array([1.0, 2.0, 4.0], np.float32))
    products(every, np.array([2, 1, 0]), user, -np.inf, found)
    assert found.tolist() == pytest.approx(
        [vectors[0, :5] @ user + 4.0, -np.inf, vectors[1, :5] @ user + 1.0], rel=1e-5
    )


def test_what_is_dropped_is_not_found_and_may_come_again() -> None:
    packed, best = PackedVectors(1), np.empty(5, np.int32)
    asked = np.ones(1, np.float32), np.ones(9, np.bool_), Vectors(np.ones((1, 1), np.float32), np.zeros(9, np.int32))
    packed.put(np.array([7, 2]), np.array([[3.0], [1.0]], np.float32))
    packed.drop(np.array([7, 8]))
    assert best[: packed.best(*asked, 0.0, best)].tolist() == [2]
    packed.put(np.array([7]), np.zeros((1, 1), np.float32))
    assert best[: packed.best(*asked, 0.0, best)].tolist() == [2, 7]


def test_posts_that_come_later_have_their_vectors_and_those_of_another_catalogue_too() -> None:
    version = ModelVersion(model="svd", version="1", created_at=0.0, dim=1, items=3, chunks=1, metrics={})
    model = ItemVectors(version, np.array([30, 10, 20]), np.array([[3.0], [1.0], [2.0]], np.float32))
    user, catalogue, best = np.ones(1, np.float32), Catalogue(2), np.empty(80, np.int32)
    for post_id, known, order in ((20, [2.0], [0]), (99, [2.0, -np.inf], [0]), (10, [2.0, -np.inf, 1.0], [0, 2])):
        catalogue.set_row(post_id, decode_post(b'{"id":%d}' % post_id))
        found = model.towards(catalogue, user)
        assert scores_of_all(Query("u", 1e9, catalogue), found) == pytest.approx(known)
        assert best[: found.best(np.ones(catalogue.size, np.bool_), best)].tolist() == order
    other = Catalogue(2)
    other.set_row(30, decode_post(b'{"id":30}'))
    assert scores_of_all(Query("u", 1e9, other), model.towards(other, user)) == pytest.approx([3.0])


def test_a_catalogue_is_prepared_for_while_feeds_ask_for_another_and_may_grow_before_it_serves() -> None:
    version = ModelVersion(model="svd", version="1", created_at=0.0, dim=1, items=3, chunks=1, metrics={})
    model = ItemVectors(version, np.array([10, 20, 30]), np.array([[1.0], [2.0], [3.0]], np.float32))
    old, new, user, best = Catalogue(2), Catalogue(2), np.ones(1, np.float32), np.empty(80, np.int32)
    old.slots_of([10, 30])
    new.slots_of([30, 99, 20])
    model.towards(old, user)
    model.prepare(new)
    assert scores_of_all(Query("u", 1e9, old), model.towards(old, user)) == pytest.approx([1.0, 3.0])
    new.slots_of([10])
    ahead = model._ahead and model._ahead._packed
    found = model.towards(new, user)
    assert model._packed is ahead is not None
    assert scores_of_all(Query("u", 1e9, new), found) == pytest.approx([3.0, -np.inf, 2.0, 1.0])
    assert best[: found.best(np.ones(new.size, np.bool_), best)].tolist() == [0, 2, 3]


async def test_vectors_that_can_not_be_packed_ahead_stop_neither_others_nor_the_posts() -> None:
    version = ModelVersion(model="svd", version="1", created_at=0.0, dim=1, items=1, chunks=1, metrics={})
    broken, good = (ItemVectors(version, np.array([10]), np.ones((1, 1), np.float32)) for _ in range(2))
    broken.vectors = np.ones((0, 1), np.float32)
    address = "redis://127.0.0.1:1/0"
    models, catalogue = Models(Settings(redis_url=address), connection(address, 1.0)), Catalogue(2)
    catalogue.slots_of([10])
    models.vectors = {"svd": broken, "graph": good}
    await models.prepare(catalogue)
    assert (broken._ahead, good._ahead is not None) == (None, True)
