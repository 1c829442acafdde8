"""The content model after training: an ONNX graph of two towers, run alike by the trainer and by the API."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .content_tokens import PostTokens, Tokens
from .onnx_session import session

AT_ONCE = 32
"""Posts embedded together, 2.3 ms of which most keeps the interpreter from other threads."""

Vectors = NDArray[np.float32]


class ContentTowers:
    """Runs the graph on one thread. Raises what ONNX Runtime raises for what is no graph.

    The inner product of a user's and a post's vector is how likely the user turns to it: a logarithm, but for a
    constant. Vectors of posts have a length of 1.
    """

    def __init__(self, graph: bytes) -> None:
        import onnxruntime  # as late as `session` does

        self._session = session(graph)
        self._needed = onnxruntime.RunOptions()
        self._needed.add_run_config_entry("only_execute_path_to_fetches", "1")
        self.dim = int(self._session.get_inputs()[3].shape[1])
        self._no_posts = {name: np.zeros((0, 1), np.int32) for name in PostTokens._fields[:2]}
        self._no_posts["names"] = np.zeros((0, self._session.get_inputs()[2].shape[1]), np.int32)
        self._no_users = {"taste": np.zeros((0, self.dim), np.float32), "profile": np.zeros((0, 1), np.int32)}

    def posts(self, tokens: PostTokens) -> Vectors:
        """(n, dim) of n posts."""
        found = np.empty((len(tokens.names), self.dim), np.float32)
        for start in range(0, len(found), AT_ONCE):
            text, labels, names = tokens.rows(slice(start, start + AT_ONCE))
            inputs = {"text": trimmed(text), "labels": trimmed(labels), "names": names.astype(np.int32)}
            found[start : start + AT_ONCE] = self._run("posts", inputs | self._no_users)
        return found

    def users(self, taste: Vectors, profile: Tokens) -> Vectors:
        """(m, dim) of m users. taste (m, dim): sums of the vectors of what they met, newer and better liked posts
        weighing more, of any length; zeros for nothing. profile: online_models.content_tokens.user_tokens."""
        inputs = {"taste": taste.astype(np.float32), "profile": trimmed(profile)}
        return self._run("users", inputs | self._no_posts)

    def _run(self, output: str, inputs: dict[str, NDArray[Any]]) -> Vectors:
        return np.asarray(self._session.run([output], inputs, self._needed)[0], np.float32)


def trimmed(tokens: Tokens) -> NDArray[np.int32]:
    """Without the columns that all rows leave empty, but one column at least."""
    return tokens[:, : max(int((tokens > 0).sum(axis=1).max(initial=1)), 1)].astype(np.int32)
