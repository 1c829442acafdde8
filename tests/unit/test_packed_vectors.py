"""Vectors in 16 bits: their products are those of single precision, whatever the sizes of rows and columns."""

import numpy as np
import pytest

from api.catalogue import Catalogue
from api.models import ItemVectors
from online_models.packed_vectors import NONE, packed, products
from schemas.models import ModelVersion
from schemas.posts import decode_post


@pytest.mark.parametrize("columns", [1, 16, 193])
def test_products_are_those_of_single_precision(columns: int) -> None:
    draw = np.random.default_rng(columns)
    vectors = draw.normal(size=(500, columns)).astype(np.float32) * np.exp(draw.normal(0, 3, (500, 1)), dtype="f4")
    user = draw.normal(size=columns).astype(np.float32)
    exact = vectors @ user
    room = 3e-5 * np.abs(vectors).max(axis=1) * np.abs(user).sum()
    assert (np.abs(products(*packed(vectors), user, 0.0) - exact) <= room + 1e-6 * np.abs(exact)).all()


def test_a_row_of_zeros_is_a_vector_and_one_without_a_vector_is_not() -> None:
    codes, scales = packed(np.zeros((2, 3), np.float32))
    scales[1] = NONE
    assert products(codes, scales, np.ones(3, np.float32), -np.inf).tolist() == [0.0, -np.inf]


def test_a_shorter_vector_belongs_to_the_first_columns() -> None:
    codes, scales = packed(np.array([[1.0, 2.0, 50.0]], np.float32))
    assert products(codes, scales, np.ones(2, np.float32), 0.0) == pytest.approx([3.0], abs=0.01)


def test_posts_that_come_later_have_their_vectors_and_those_of_another_catalogue_too() -> None:
    version = ModelVersion(model="svd", version="1", created_at=0.0, dim=1, items=3, chunks=1, metrics={})
    model = ItemVectors(version, np.array([30, 10, 20]), np.array([[3.0], [1.0], [2.0]], np.float32))
    user, catalogue = np.ones(1, np.float32), Catalogue(2)
    for post_id, known in ((20, [2.0]), (99, [2.0, -np.inf]), (10, [2.0, -np.inf, 1.0])):
        catalogue.set_row(post_id, decode_post(b'{"id":%d}' % post_id))
        assert model.scores(catalogue, user) == pytest.approx(known)
    other = Catalogue(2)
    other.set_row(30, decode_post(b'{"id":30}'))
    assert model.scores(other, user) == pytest.approx([3.0])
