"""A version of the deep model as it was published: its graph, run by ONNX Runtime as the API does."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from online_models.positives import Positives

from .dataset import Interactions
from .deep_export import INPUTS
from .event_sequences import filled, last_windows, sequences
from .model import Published

AT_ONCE = 256


class PublishedDeep:
    """A batch_models.model.Fitted over the posts `post_ids`, ascending, of a snapshot."""

    def __init__(self, published: Published, post_ids: NDArray[np.int64]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(published.graph, options, providers=["CPUExecutionProvider"])
        self._vectors = published.of(post_ids)
        self._known = self._vectors.any(axis=1)
        place = np.searchsorted(published.ids, post_ids)
        there = published.ids[np.minimum(place, len(published.ids) - 1)] == post_ids
        self._rows = np.where(there, place, len(published.ids))

    def scores(self, before: Interactions, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """See batch_models.model.Fitted. Users without events get zeros."""
        found = sequences(before, Positives())
        vectors = np.zeros((len(users), self._vectors.shape[1]), np.float32)
        places = last_windows(found, users)
        some = np.flatnonzero(places[:, 1] > places[:, 0])
        columns = self._rows[found.posts], found.types, found.values, found.gaps
        for start in range(0, len(some), AT_ONCE):
            chosen = some[start : start + AT_ONCE]
            inputs, there = filled(places[chosen])
            arrays = [*(column[inputs] for column in columns), there]
            vectors[chosen] = self._session.run(None, dict(zip(INPUTS, arrays, strict=True)))[0]
        scores = np.asarray(vectors @ self._vectors.T, np.float32)
        scores[:, ~self._known] = -np.inf
        return scores
