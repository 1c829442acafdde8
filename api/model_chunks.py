"""A published model on its way from Redis: each chunk is checked and put in place as it comes."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ServiceUnavailable
from schemas.models import ModelVersion, chunk_vectors


class ModelChunks:
    """What was taken of a version. ids (n,) and vectors (n, dim): of its items so far, and nothing for others."""

    def __init__(self, version: ModelVersion) -> None:
        self.ids: NDArray[np.int64] = np.empty(version.items, np.int64)
        self.vectors: NDArray[np.float32] = np.empty((version.items, version.dim), np.float32)
        self._version = version
        self._digest = hashlib.sha256()
        self._items = self._chunks = 0
        self._graph: list[bytes] = []

    def take(self, chunk: bytes) -> None:
        """The next one. Raises ServiceUnavailable for one that is damaged."""
        self._digest.update(chunk)
        if self._chunks < self._version.chunks:
            try:
                ids, vectors = chunk_vectors(chunk, self._version.dim)
                part = slice(self._items, self._items + len(ids))
                self.ids[part], self.vectors[part] = ids, vectors
            except ValueError as error:
                raise self._damaged(str(error)) from None
            self._items += len(ids)
        else:
            self._graph.append(chunk)
        self._chunks += 1

    def graph(self) -> bytes:
        """The ONNX graph, empty when there is none. Raises ServiceUnavailable when the chunks, of which this was the
        last, are not those that were published."""
        if self._version.digest and self._digest.hexdigest() != self._version.digest:
            raise self._damaged("its digest is another one")
        if self._items != self._version.items:
            raise self._damaged(f"it has {self._items} items and not {self._version.items}")
        return b"".join(self._graph)

    def _damaged(self, how: str) -> ServiceUnavailable:
        return ServiceUnavailable(f"{self._version.model} {self._version.version} is damaged in Redis: {how}")
