"""Vectors of posts by what their rows say: those that were published, and those of rows that came since."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from online_models.content_tokens import post_tokens
from online_models.content_towers import AT_ONCE, ContentTowers
from schemas.models import ModelVersion
from schemas.posts import Post

from .catalogue import Catalogue
from .models import ItemVectors


class ContentVectors(ItemVectors):
    """Of one version, so vectors of two never lie in one array. `ids` are those that were published; more posts follow
    behind them, by slot (`rows`)."""

    def __init__(
        self, version: ModelVersion, ids: NDArray[np.int64], vectors: NDArray[np.float32], towers: ContentTowers
    ) -> None:  # fmt: skip
        super().__init__(version, ids, vectors)
        self.towers = towers
        self._store, self._norms = self.vectors, self.norms
        self._embedded: tuple[Catalogue | None, NDArray[np.int32]] = None, np.empty(0, np.int32)

    def pending(self, catalogue: Catalogue) -> NDArray[np.int64]:
        """Slots whose rows came or changed since their vectors were made, at most AT_ONCE."""
        done = self._done(catalogue)
        return np.flatnonzero(catalogue.revisions[: len(done)] != done)[:AT_ONCE]

    def embed(self, posts: Sequence[Post | None]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Of which of the posts anything is known (n,), and the vectors of those. For a thread: 71 µs a post."""
        tokens = post_tokens(posts)
        known = tokens.described
        return known, self.towers.posts(tokens.rows(known))

    def put(
        self, catalogue: Catalogue, slots: NDArray[np.int64], revisions: NDArray[np.int32],
        known: NDArray[np.bool_], vectors: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """What `embed` made of the rows of `slots` (n,) as of `revisions` (n,). On the event loop, as requests are."""
        self._done(catalogue)[slots] = revisions
        rows = self.rows(catalogue)
        rows[slots[~known]] = -1
        slots = slots[known]
        new = slots[rows[slots] < 0]
        count = len(self.vectors)
        self._make_room(count + len(new))
        rows[new] = np.arange(count, count + len(new))
        self._store[rows[slots]], self._norms[rows[slots]] = vectors, np.linalg.norm(vectors, axis=1)
        self.vectors, self.norms = self._store[: count + len(new)], self._norms[: count + len(new)]

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
