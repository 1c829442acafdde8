"""Vectors of the content model: of posts that were published, and of rows that came since."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from online_models.content_tokens import post_tokens
from online_models.content_towers import ContentTowers
from schemas.models import ModelVersion
from schemas.posts import Post

from .arriving_vectors import ArrivingVectors


class ContentVectors(ArrivingVectors):
    """All are made of rows, so one that changes has another."""

    def __init__(
        self, version: ModelVersion, ids: NDArray[np.int64], vectors: NDArray[np.float32], towers: ContentTowers
    ) -> None:  # fmt: skip
        super().__init__(version, ids, vectors)
        self.towers = towers

    def embed(self, posts: Sequence[Post | None]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """As ArrivingVectors.embed; 71 µs a post."""
        tokens = post_tokens(posts)
        known = tokens.described
        return known, self.towers.posts(tokens.rows(known))
