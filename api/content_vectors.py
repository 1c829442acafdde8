"""Vectors of the content model: of posts that were published, and of rows that came since."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from online_models.content_tokens import post_tokens
from online_models.content_towers import ContentTowers
from schemas.models import ModelVersion
from schemas.posts import Post

from .arriving_vectors import ArrivingVectors
from .catalogue import Catalogue
from .models import ItemVectors


class ContentVectors(ArrivingVectors):
    """All are made of rows, so one that changes has another."""

    def __init__(
        self, version: ModelVersion, ids: NDArray[np.int64], vectors: NDArray[np.float32], towers: ContentTowers
    ) -> None:  # fmt: skip
        super().__init__(version, ids, vectors)
        self.towers = towers
        self._only: tuple[NDArray[np.int64], Sequence[ItemVectors], NDArray[np.int64]] | None = None

    def embed(self, posts: Sequence[Post | None]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """As ArrivingVectors.embed; 71 µs a post."""
        tokens = post_tokens(posts)
        known = tokens.described
        return known, self.towers.posts(tokens.rows(known))

    def only_here(self, catalogue: Catalogue, others: Sequence[ItemVectors]) -> NDArray[np.int64]:
        """Slots (m,) of posts that have a vector here and that none of the others was trained on: kept until a post
        comes or another version, as to find them takes .23 ms for 100,000 posts and three others."""
        rows = self.rows(catalogue)
        if self._only is None or self._only[0] is not rows or self._only[1] != others:
            new = rows >= 0
            for other in others:
                new &= ~other.was_published(catalogue)
            self._only = rows, others, np.flatnonzero(new)
        return self._only[2]
