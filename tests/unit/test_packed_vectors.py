"""The best of many products, found by bounds: none is missed, whatever the sizes of rows and columns."""

import numpy as np
import pytest

from api.catalogue import Catalogue
from api.models import ItemVectors
from api.stages import Query
from online_models.packed_vectors import PackedVectors, products
from schemas.models import ModelVersion
from schemas.posts import decode_post
from tests.unit.evidence import scores_of_all


@pytest.mark.parametrize("columns", [1, 16, 193, 700])
def test_the_best_products_are_among_the_likely_ones_and_those_are_few(columns: int) -> None:
    draw = np.random.default_rng(columns)
    count = 3_000
    vectors = draw.normal(size=(count, columns)).astype(np.float32) * np.exp(draw.normal(0, 1, (count, 1)), dtype="f4")
    offsets = draw.normal(size=count).astype(np.float32)
    slots = draw.permutation(2 * count)[:count].astype(np.int32)
    packed = PackedVectors(columns)
    packed.put(slots[:10], vectors[:10], offsets[:10])
    packed.put(slots[5:], vectors[5:], offsets[5:])  # some for the second time
    for _ in range(5):
        user = draw.normal(size=columns).astype(np.float32)
        allowed = draw.random(2 * count) < draw.random()
        exact = np.where(allowed[slots], products(vectors, offsets, np.arange(count), user, 0.0), -np.inf)
        best = slots[np.argsort(-exact)[:80]]
        likely = packed.likely(user, allowed, 80)
        assert {*best[: np.count_nonzero(allowed[slots])].tolist()} <= {*likely.tolist()}
        assert allowed[likely].all()
        assert len(likely) < 600


def test_products_are_those_of_numpy_and_a_shorter_vector_belongs_to_the_first_columns() -> None:
    draw = np.random.default_rng(1)
    vectors, user = draw.normal(size=(50, 7)).astype(np.float32), draw.normal(size=5).astype(np.float32)
    found = products(vectors, None, np.array([3, -1, 49]), user, -np.inf)
    assert found.tolist() == pytest.approx([vectors[3, :5] @ user, -np.inf, vectors[49, :5] @ user], rel=1e-5)


def test_what_is_dropped_is_not_found_and_may_come_again() -> None:
    packed, user, all_of_them = PackedVectors(1), np.ones(1, np.float32), np.ones(9, np.bool_)
    packed.put(np.array([7, 2]), np.array([[3.0], [1.0]], np.float32))
    packed.drop(np.array([7, 8]))
    assert packed.likely(user, all_of_them, 5).tolist() == [2]
    packed.put(np.array([7]), np.zeros((1, 1), np.float32))
    assert sorted(packed.likely(user, all_of_them, 5).tolist()) == [2, 7]


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
