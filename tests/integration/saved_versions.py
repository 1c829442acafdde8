"""Versions in a registry, made of given vectors without a training."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch_models import registry
from schemas.models import ModelVersion, chunks_digest, pack_graph, pack_vectors


def save_version(
    model_path: Path,
    ids: NDArray[Any],
    vectors: NDArray[np.float32],
    made: datetime | None = None,
    model: str = "svd",
    graph: bytes | None = None,
) -> ModelVersion:
    """Saves a version and returns it. made: now unless given; versions sort by it."""
    made = made or datetime.now(UTC)
    content, digest = registry.pack(ids, vectors)
    of_vectors, of_graph = pack_vectors(ids, vectors), pack_graph(graph) if graph else []
    chunks = of_vectors + of_graph
    figures = {"recall@10": 0.2, "ndcg@10": 0.1, "popularity_recall@10": 0.1, "popularity_ndcg@10": 0.05}
    version = ModelVersion(
        model=model, version=registry.version_id(made, digest), created_at=made.timestamp(), dim=vectors.shape[1],
        items=len(ids), chunks=len(of_vectors), metrics=figures, digest=chunks_digest(chunks),
        graph_chunks=len(of_graph),
    )  # fmt: skip
    card = registry.Card(
        version=version, digest=digest, trained_on="everything", first_event_at=made, last_event_at=made, split_at=made,
        events=1, users=1, choice={}, settings={}, evaluated_users=1, seconds=0.5, size=len(content),
    )  # fmt: skip
    registry.save(model_path, card, content, graph)
    return version
