"""The towers as ONNX, built node by node from their weights: Keras' own export needs tf2onnx and what that needs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper

from online_models.content_tokens import NAMES

from .onnx_nodes import Nodes

WIDTH = 32
"""Of a token's vector."""
TINY = 1e-12
"""Least squared length that a vector is divided by."""
OPSET = 17
_IR = 8
"""The first with this opset."""


Dense = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Kernel (in, out) and bias (out,)."""


class TowerWeights(NamedTuple):
    """What content_network.Towers learnt. tokens (BUCKETS, WIDTH). sharpness: logarithm of the scale of logits."""

    tokens: NDArray[np.float32]
    post_hidden: Dense
    post_out: Dense
    user_hidden: Dense
    user_out: Dense
    sharpness: float

    @property
    def dim(self) -> int:
        return len(self.post_out[1])


def exported(towers: TowerWeights) -> bytes:
    """The graph. Inputs: text (n, any), labels (n, any), names (n, NAMES), taste (m, dim), profile (m, any). Outputs:
    posts (n, dim) and users (m, dim). See content_network.Towers."""
    graph = _Graph()
    table = towers.tokens.copy()
    table[0] = 0.0  # filling adds nothing
    graph.constant("table", table)
    graph.constant("zero", np.zeros(1, np.int32))
    graph.constant("one", np.ones(1, np.float32))
    graph.constant("tiny", np.full(1, TINY, np.float32))
    graph.constant("second", np.array([1], np.int64))
    graph.constant("flat", np.array([-1, NAMES * WIDTH], np.int64))
    graph.constant("scale", np.full(1, np.exp(towers.sharpness), np.float32))
    of_names = graph.add("Reshape", graph.add("Gather", "table", "names", axis=0), "flat")
    post = graph.add("Concat", graph.mean("text"), graph.mean("labels"), of_names, axis=1)
    post = graph.dense(graph.add("Relu", graph.dense(post, towers.post_hidden)), towers.post_out)
    graph.unit(post, output="posts")
    taste = graph.unit("taste")
    known = graph.add("Concat", taste, graph.mean("profile"), axis=1)
    change = graph.dense(graph.add("Relu", graph.dense(known, towers.user_hidden)), towers.user_out)
    graph.add("Mul", graph.unit(graph.add("Add", taste, change)), "scale", output="users")
    shapes: list[tuple[str, int, list[str | int | None]]] = [
        ("text", TensorProto.INT32, ["n", "t"]), ("labels", TensorProto.INT32, ["n", "l"]),
        ("names", TensorProto.INT32, ["n", NAMES]), ("taste", TensorProto.FLOAT, ["m", towers.dim]),
        ("profile", TensorProto.INT32, ["m", "p"]),
    ]  # fmt: skip
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in shapes]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, towers.dim])
        for name, rows in (("posts", "n"), ("users", "m"))
    ]
    whole = helper.make_graph(graph.nodes, "content", inputs, outputs, graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR)
    checker.check_model(model)
    return bytes(model.SerializeToString())


class _Graph(Nodes):
    def dense(self, rows: str, layer: Dense) -> str:
        kernel, bias = layer
        name = f"dense_{len(self.nodes)}"
        weights = self.constant(f"{name}_kernel", kernel), self.constant(f"{name}_bias", bias)
        return self.add("Gemm", rows, *weights)

    def mean(self, tokens: str) -> str:
        """Of the vectors of the tokens that are there."""
        total = self.add("ReduceSum", self.add("Gather", "table", tokens, axis=0), "second", keepdims=0)
        there = self.add("Cast", self.add("Greater", tokens, "zero"), to=TensorProto.FLOAT)
        return self.add("Div", total, self.add("Max", self.add("ReduceSum", there, "second", keepdims=1), "one"))

    def unit(self, rows: str, output: str | None = None) -> str:
        squares = self.add("ReduceSum", self.add("Mul", rows, rows), "second", keepdims=1)
        return self.add("Div", rows, self.add("Sqrt", self.add("Max", squares, "tiny")), output=output)
