"""A model on its way from Redis."""

import numpy as np
import pytest
from msgspec.structs import replace

from api.model_chunks import ModelChunks
from schemas.errors import ServiceUnavailable
from schemas.models import CHUNK_ITEMS, ModelVersion, chunks_digest, pack_graph, pack_vectors

IDS = np.arange(1, CHUNK_ITEMS + 4)
VECTORS = np.random.default_rng(3).random((len(IDS), 2)).astype(np.float32)
CHUNKS = [*pack_vectors(IDS, VECTORS), *pack_graph(b"graph")]
VERSION = ModelVersion(
    model="svd", version="v", created_at=0.0, dim=2, items=len(IDS), chunks=2, metrics={}, graph_chunks=1,
    digest=chunks_digest(CHUNKS),
)  # fmt: skip


def taken(version: ModelVersion, chunks: list[bytes]) -> ModelChunks:
    found = ModelChunks(version)
    for chunk in chunks:
        found.take(chunk)
    return found


def test_chunks_that_came_one_after_the_other_are_the_model() -> None:
    found = taken(VERSION, CHUNKS)
    assert found.graph() == b"graph"
    assert np.array_equal(found.ids, IDS)
    assert np.array_equal(found.vectors, VECTORS)


@pytest.mark.parametrize(
    ("digest", "chunks", "how"),
    [
        (VERSION.digest, [*CHUNKS[:2], b"grape"], "its digest is another one"),
        ("", [CHUNKS[0][:-1], *CHUNKS[1:]], "buffer is smaller"),
        ("", [CHUNKS[0], *CHUNKS[:2]], "could not broadcast"),
        ("", [CHUNKS[1], *CHUNKS[1:]], "it has 6 items and not 4099"),
    ],
)
def test_what_is_damaged_is_refused_also_where_there_is_no_digest(digest: str, chunks: list[bytes], how: str) -> None:
    with pytest.raises(ServiceUnavailable, match=f"svd v is damaged in Redis: .*{how}"):
        taken(replace(VERSION, digest=digest), chunks).graph()
