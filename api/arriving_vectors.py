"""Vectors of posts that were published, and of those whose rows came since, made of what the rows say."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.models import ModelVersion
from schemas.posts import Post

from .catalogue import Catalogue
from .models import ItemVectors

AT_ONCE = 32
"""Posts embedded together, 2.3 ms of which most keeps the interpreter from other threads."""


class ArrivingVectors(ItemVectors):
    """Of one version, so vectors of two never lie in one array. `ids` are those that were published; more posts follow
    behind them, by slot (`rows`). renewed: whether a published post of which the row changes gets a vector by it."""

    renewed = True

    def __init__(self, version: ModelVersion, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        super().__init__(version, ids, vectors)
        self._store, self._norms = self.vectors, self.norms
        self._embedded: tuple[Catalogue | None, NDArray[np.int32]] = None, np.empty(0, np.int32)

    @abstractmethod
    def embed(self, posts: Sequence[Post | None]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Of which of the posts anything is known (n,), and the vectors of those, (m, dim) or longer. For a thread."""

    def pending(self, catalogue: Catalogue) -> NDArray[np.int64]:
        """Slots whose rows came or changed since their vectors were made, at most AT_ONCE."""
        done = self._done(catalogue)
        changed = catalogue.revisions[: len(done)] != done
        if not self.renewed:
            changed &= ~self.was_published(catalogue)
        return np.flatnonzero(changed)[:AT_ONCE]

    def put(
        self, catalogue: Catalogue, slots: NDArray[np.int64], revisions: NDArray[np.int32],
        known: NDArray[np.bool_], vectors: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """What `embed` made of the rows of `slots` (n,) as of `revisions` (n,). On the event loop, as requests are."""
        self._done(catalogue)[slots] = revisions
        # Of its own: a request that is on its way keeps the rows that go with the vectors that it took.
        rows = self._rows = self.rows(catalogue).copy()
        vectors = vectors[:, : self.version.dim]
        rows[slots[~known]] = -1
        self.repack(catalogue, slots[~known], None)
        slots = slots[known]
        new = slots[rows[slots] < 0]
        count = len(self.vectors)
        self._make_room(count + len(new))
        rows[new] = np.arange(count, count + len(new))
        self._store[rows[slots]], self._norms[rows[slots]] = vectors, np.linalg.norm(vectors, axis=1)
        self.vectors, self.norms = self._store[: count + len(new)], self._norms[: count + len(new)]
        self.repack(catalogue, slots, vectors)

    def _done(self, catalogue: Catalogue) -> NDArray[np.int32]:
        """(N,): which revision of each row has its vector. A published post has that of the row it was trained on."""
        known, done = self._embedded
        if known is not catalogue:
            done = np.empty(0, np.int32)
            self.vectors, self.norms = self._store[: len(self.ids)], self._norms[: len(self.ids)]
        if len(done) < catalogue.size:
            rows = self.rows(catalogue)[len(done) :]
            now = catalogue.revisions[len(done) : catalogue.size]
            done = np.concatenate([done, np.where(rows >= 0, now, 0).astype(np.int32)])
        self._embedded = catalogue, done
        return done

    def _make_room(self, count: int) -> None:
        """Doubles the arrays; a request that is on its way keeps those that it took."""
        if count > len(self._store):
            room = 2 * count
            store, norms = np.zeros((room, self._store.shape[1]), np.float32), np.zeros(room, np.float32)
            store[: len(self._store)], norms[: len(self._norms)] = self._store, self._norms
            self._store, self._norms = store, norms
