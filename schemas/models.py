"""Published models: the version in service, its item vectors in Redis, and the graph that makes users' vectors."""

import hashlib
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

CHUNK_ITEMS = 4_096
"""Items a chunk: 4,096 × 64 floats = 1 MiB, small enough not to hold up Redis."""
GRAPH_CHUNK = 1 << 20
"""Bytes of a graph a chunk."""


class ModelVersion(msgspec.Struct, kw_only=True):
    """A published version (Redis `model_current`, and topic `models` with the model's name as key).

    metrics: figures of the evaluation that let it pass, e.g. `{"recall@10": 0.2, "popularity_recall@10": 0.1}`.
    dim, items, chunks: shape of the item vectors and in how many chunks they lie. graph_chunks: how many come after
    them with the model's ONNX graph, 0 without one. digest: chunks_digest of them all; empty in versions that were
    published before there was one.
    """

    model: str
    version: str
    created_at: float
    dim: int
    items: int
    chunks: int
    metrics: dict[str, float]
    digest: str = ""
    graph_chunks: int = 0


class TrainingRequest(msgspec.Struct, kw_only=True):
    """Asks for a training now (topic `models`; the key is `train:` and the model's name, so that the request does not
    take the place of what was published). train: name of the model."""

    train: str


encode_version = msgspec.json.Encoder().encode
decode_version = msgspec.json.Decoder(ModelVersion).decode


def pack_vectors(ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> list[bytes]:
    """Chunks of `ids` (n,) and `vectors` (n, dim): 4-byte count, ids, rows; little-endian."""
    chunks = []
    for start in range(0, len(ids), CHUNK_ITEMS):
        part = ids[start : start + CHUNK_ITEMS].astype("<i8")
        rows = vectors[start : start + CHUNK_ITEMS].astype("<f4")
        chunks.append(len(part).to_bytes(4, "little") + part.tobytes() + rows.tobytes())
    return chunks


def chunks_digest(chunks: Iterable[bytes]) -> str:
    """SHA-256 of all chunks in their order."""
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()


def unpack_vectors(chunks: list[bytes], dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The inverse of pack_vectors: ids (n,) and vectors (n, dim)."""
    nothing = np.empty(0, np.int64), np.empty((0, dim), np.float32)
    ids, vectors = zip(nothing, *[chunk_vectors(chunk, dim) for chunk in chunks], strict=True)
    return np.concatenate(ids), np.concatenate(vectors)


def chunk_vectors(chunk: bytes, dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Views of what a chunk has: ids (n,) and vectors (n, dim). Raises ValueError for half a chunk."""
    count = int.from_bytes(chunk[:4], "little")
    ids = np.frombuffer(chunk, "<i8", count, 4)
    return ids, np.frombuffer(chunk, "<f4", count * dim, 4 + 8 * count).reshape(count, dim)


def pack_graph(graph: bytes) -> list[bytes]:
    """Chunks of an ONNX graph, to be joined."""
    return [graph[start : start + GRAPH_CHUNK] for start in range(0, len(graph), GRAPH_CHUNK)]
