"""ONNX graphs, node by node, for what no exporter is needed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class Nodes:
    """nodes and constants of a graph, to which more are added. prefix: of the names of nodes."""

    def __init__(self, prefix: str = "of_node") -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._prefix = prefix

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Name of what the new node gives."""
        output = output or f"{self._prefix}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [*inputs], [output], **attributes))
        return output
