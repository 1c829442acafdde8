"""A network that was published with the item vectors, run without what it was trained with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Graph:
    """Runs an ONNX graph on one thread. Raises what ONNX Runtime raises for what is no graph."""

    def __init__(self, graph: bytes) -> None:
        # 34 MB and .1 s, which an API without such a model saves.
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(self, inputs: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Its first output. Raises what ONNX Runtime raises for inputs that are not those of the graph."""
        return np.asarray(self._session.run(None, inputs)[0], np.float32)
