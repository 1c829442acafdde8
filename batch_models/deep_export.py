"""The deep model as ONNX: what the API computes vectors of users and of new posts with, without torch."""

import copy
import io
import warnings
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from online_models.content_tokens import LABELS, NAMES, TEXT

from .deep_network import UserVector
from .item_tower import ItemTower
from .onnx_nodes import Nodes

INPUTS = ("posts", "types", "values", "gaps", "there", "new")
OPSET = 17


def exported(tower: UserVector, known: NDArray[np.bool_], items: ItemTower, bias: float) -> bytes:
    """The graph of both towers.

    Of users: inputs as in UserVector.forward, (b, t, …) each; b and t are free. Output `vector` (b, dim). Of posts:
    inputs text, labels and names (n, …), as in online_models.content_tokens. Outputs `items` (n, dim), whose inner
    product with a user's vector is the score, and `as_events` (n, 2 · width), which is `new` where a user met the post.

    known (posts,): the posts that are published. Their rows are the graph's, in the same order; the number of them is
    the row of a post that it does not have. items: finds Network.post_vectors. bias: of new posts.
    """
    model = onnx.load_from_string(_users(tower, known))
    nodes = _posts(items, bias)
    kinds = (("text", TEXT), ("labels", LABELS), ("names", NAMES))
    model.graph.input.extend(
        helper.make_tensor_value_info(kind, TensorProto.INT32, ["n", f"of_{kind}"]) for kind, _ in kinds
    )
    width = items.directions.shape[1] // 4
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", columns])
        for name, columns in (("items", 3 * width + 1), ("as_events", 2 * width))
    )
    model.graph.node.extend(nodes.nodes)
    model.graph.initializer.extend(nodes.constants)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _users(tower: UserVector, known: NDArray[np.bool_]) -> bytes:
    tower = copy.deepcopy(tower)
    kept = torch.from_numpy(np.append(np.flatnonzero(known), len(known)))
    with torch.no_grad():
        learnt, fixed = tower.tower.posts(kept), tower.tower.sums.vectors(kept)
    tower.tower.posts = torch.nn.Embedding.from_pretrained(learnt)  # type: ignore[no-untyped-call]
    tower.tower.sums.vectors = torch.nn.Embedding.from_pretrained(fixed)  # type: ignore[no-untyped-call]
    two = torch.zeros(2, 3, dtype=torch.int64)
    example = two, two, two.float(), two, two == 0, torch.zeros(2, 3, 2 * learnt.shape[1])
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that replaces this one needs two more packages.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower, example, buffer, input_names=[*INPUTS], output_names=["vector"], opset_version=OPSET, dynamo=False,
            dynamic_axes={name: {0: "users", 1: "events"} for name in INPUTS} | {"vector": {0: "users"}},
        )  # fmt: skip
    return bytes(buffer.getvalue())


def _posts(items: ItemTower, bias: float) -> Nodes:
    """As ItemTower.vectors."""
    nodes = Nodes("of_posts")
    nodes.constant("tokens_table", items.table)
    nodes.constant("no_token", np.zeros(1, np.int32))
    nodes.constant("one_token", np.ones(1, np.float32))
    nodes.constant("tokens_axis", np.array([1], np.int64))
    means = [_root_mean(nodes, kind) for kind in ("text", "labels", "names")]
    features = nodes.add("Sum", *means)
    of_next, of_later, fixed, as_event = np.split(np.vstack([items.directions, items.mean]), 4, axis=1)
    biases = np.append(np.zeros(len(items.directions)), bias).astype(np.float32)[:, None]
    for output, columns in (("items", [of_next, of_later, fixed, biases]), ("as_events", [as_event, fixed])):
        weights = np.concatenate(columns, axis=1)
        kernel = nodes.constant(f"{output}_directions", weights[:-1])
        nodes.add("Gemm", features, kernel, nodes.constant(f"{output}_mean", weights[-1]), output=output)
    return nodes


def _root_mean(nodes: Nodes, kind: str) -> str:
    """Sum of the vectors of the tokens that are there, by the root of how many there are."""
    total = nodes.add("ReduceSum", nodes.add("Gather", "tokens_table", kind, axis=0), "tokens_axis", keepdims=0)
    there = nodes.add("Cast", nodes.add("Greater", kind, "no_token"), to=TensorProto.FLOAT)
    count = nodes.add("Max", nodes.add("ReduceSum", there, "tokens_axis", keepdims=1), "one_token")
    return nodes.add("Div", total, nodes.add("Sqrt", count))
