"""A version of the deep model as it was published: its graph, run by ONNX Runtime as the API does."""

import numpy as np
from numpy.typing import NDArray

from online_models.deep_towers import DeepTowers
from online_models.positives import Positives

from .dataset import Interactions
from .event_sequences import filled, last_windows, sequences
from .model import Published

AT_ONCE = 256


class PublishedDeep:
    """A batch_models.model.Fitted over the posts `post_ids`, ascending, of a snapshot. Posts that came after the
    version have vectors by what their rows say, as in feeds."""

    def __init__(self, published: Published, post_ids: NDArray[np.int64]) -> None:
        self._towers = DeepTowers(published.graph)
        self._vectors = published.of(post_ids)
        self._published = self._vectors.any(axis=1)
        place = np.searchsorted(published.ids, post_ids)
        there = published.ids[np.minimum(place, len(published.ids) - 1)] == post_ids
        self._rows = np.where(there, place, len(published.ids))
        self._as_events = np.zeros((len(post_ids), self._towers.width), np.float32)
        self._content: object = None
        self._known = self._published

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """See batch_models.model.Fitted. Users without events get zeros."""
        self._meet(before)
        found = sequences(before, Positives())
        vectors = np.zeros((len(users), self._vectors.shape[1]), np.float32)
        places = last_windows(found, users)
        some = np.flatnonzero(places[:, 1] > places[:, 0])
        for start in range(0, len(some), AT_ONCE):
            chosen = some[start : start + AT_ONCE]
            inputs, there = filled(places[chosen])
            posts = found.posts[inputs]
            vectors[chosen] = self._towers.users(
                self._rows[posts], found.types[inputs], found.values[inputs], found.gaps[inputs], there,
                self._as_events[posts],
            )  # fmt: skip
        scores = np.asarray(vectors @ self._vectors.T, np.float32)
        scores[:, ~self._known] = -np.inf
        return scores

    def _meet(self, before: Interactions) -> None:
        """Gives posts that were not published what their rows say."""
        content = before.content.posts
        if self._content is content or not self._towers.of_posts:
            return
        self._content, new = content, np.flatnonzero(~self._published & content.described)
        self._known = self._published | content.described
        if len(new):
            self._vectors[new], self._as_events[new] = self._towers.posts(content.rows(new))
