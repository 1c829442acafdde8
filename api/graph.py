"""A network that was published with the item vectors, run without what it was trained with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from online_models.onnx_session import session


class Graph:
    """Runs an ONNX graph on one thread. Raises what ONNX Runtime raises for what is no graph."""

    def __init__(self, graph: bytes) -> None:
        self._session = session(graph)

    def run(self, inputs: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Its first output. Raises what ONNX Runtime raises for inputs that are not those of the graph."""
        return np.asarray(self._session.run(None, inputs)[0], np.float32)
