"""The global online models behind one class: what the learner teaches, publishes and resumes from.

For now a stand-in that counts: one vector a post, of its gains by type of interaction.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.events import INTERACTION_TYPES
from schemas.learning import LearningBatch
from schemas.posts import Post

NO_POSTS = np.empty(0, np.int64)


class Changed(NamedTuple):
    """ids (n,) of posts and their vectors (n, width), float16; gone (g,): posts that have none any more."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float16]
    gone: NDArray[np.int64] = NO_POSTS


class Recommender:
    """CPU work, called in a thread, one call at a time."""

    def __init__(self) -> None:
        self._vectors: dict[int, NDArray[np.float64]] = {}
        self._changed: set[int] = set()
        self._events = 0

    def learn_posts(self, rows: Sequence[tuple[int, Post | None]]) -> None:
        """A row of each post; None deletes it."""
        for post_id, post in rows:
            if post is None and self._vectors.pop(post_id, None) is not None:
                self._changed.add(post_id)

    def learn_many(self, batch: LearningBatch) -> None:
        """Tests, then learns, in order."""
        self._events += batch.size
        for post_id, code, gain in zip(
            batch.post_id.tolist(), batch.type_code.tolist(), batch.gain.tolist(), strict=True
        ):
            self._vectors.setdefault(post_id, np.zeros(len(INTERACTION_TYPES)))[code] += gain
            self._changed.add(post_id)

    def changed_vectors(self) -> Changed:
        """What changed since the last call; after `load`, every vector."""
        kept = [post_id for post_id in self._changed if post_id in self._vectors]
        gone = [post_id for post_id in self._changed if post_id not in self._vectors]
        self._changed = set()
        vectors = np.array([self._vectors[post_id] for post_id in kept]).reshape(-1, len(INTERACTION_TYPES))
        return Changed(np.array(kept, np.int64), vectors.astype(np.float16), np.array(gone, np.int64))

    def weights(self) -> bytes:
        """The blend: complete, less than 64 KB."""
        return msgspec.json.encode({"events": self._events})

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything to resume from."""
        ids = np.array([*self._vectors], np.int64)
        vectors = np.array([*self._vectors.values()]).reshape(len(ids), len(INTERACTION_TYPES))
        return {"ids": ids, "vectors": vectors, "events": np.array(self._events)}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over. Raises KeyError or ValueError for one of another kind."""
        self._vectors = dict(zip(state["ids"].tolist(), state["vectors"].copy(), strict=True))
        self._events = int(state["events"])
        self._changed = set(self._vectors)

    def metrics(self) -> dict[str, float]:
        """How good it is, by name."""
        return {"posts": float(len(self._vectors))}
