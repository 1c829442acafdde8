"""The deep model after training: an ONNX graph of two towers, run alike by the trainer and by the API."""

import numpy as np
from numpy.typing import NDArray

from .content_tokens import PostTokens
from .content_towers import trimmed
from .onnx_session import session

AT_ONCE = 32
"""Posts together."""

Vectors = NDArray[np.float32]


class DeepTowers:
    """Runs the graph on one thread. Raises what ONNX Runtime raises for what is no graph.

    of_posts: whether it makes vectors of posts; graphs that were published before it could have none. width: numbers
    that stand for a post in a user's past.
    """

    def __init__(self, graph: bytes) -> None:
        self._session = session(graph)
        inputs = {each.name: each for each in self._session.get_inputs()}
        self.of_posts = "text" in inputs
        self.width = int(inputs["new"].shape[2]) if self.of_posts else 0
        names = ("text", "labels", "names")
        self._no_posts = {name: np.zeros((0, 1), np.int32) for name in names if self.of_posts}
        # The whole graph runs whatever is asked for: no posts take no time, and a user with one event 50 µs.
        one = np.zeros((1, 1), np.int64)
        self._a_user = {"posts": one, "types": one, "values": one.astype(np.float32), "gaps": one}
        self._a_user |= {"there": one == 0, "new": np.zeros((1, 1, self.width), np.float32)}

    def users(
        self, posts: NDArray[np.int64], types: NDArray[np.int64], values: Vectors, gaps: NDArray[np.int64],
        there: NDArray[np.bool_], new: Vectors | None = None,
    ) -> Vectors:  # fmt: skip
        """(b, dim) of users with events (b, t) each, one at least. posts: rows of the published vectors, their number
        for a post that is not among them. there: False for filling, which comes last. new (b, t, width): what stands
        for such posts, zeros for others."""
        inputs = {"posts": posts, "types": types, "values": values, "gaps": gaps, "there": there}
        if self.of_posts:
            inputs["new"] = np.zeros((*posts.shape, self.width), np.float32) if new is None else new
        return np.asarray(self._session.run(["vector"], inputs | self._no_posts)[0], np.float32)

    def posts(self, tokens: PostTokens) -> tuple[Vectors, Vectors]:
        """(n, dim) and (n, width) of n posts: vectors as published ones, and what stands for them in a user's past."""
        parts = []
        for start in range(0, max(len(tokens.names), 1), AT_ONCE):
            text, labels, names = tokens.rows(slice(start, start + AT_ONCE))
            inputs = {"text": trimmed(text), "labels": trimmed(labels), "names": names.astype(np.int32)}
            parts.append(self._session.run(["items", "as_events"], inputs | self._a_user))
        items, as_events = zip(*parts, strict=True)
        return np.concatenate(items), np.concatenate(as_events)
