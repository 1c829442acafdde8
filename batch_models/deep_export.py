"""The deep model as ONNX: what the API computes a user's vector with, without torch."""

import copy
import io
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .deep_network import UserVector

INPUTS = ("posts", "types", "values", "gaps", "there")
OPSET = 17


def exported(tower: UserVector, known: NDArray[np.bool_]) -> bytes:
    """The graph. Inputs as in UserVector.forward, (b, t) each; b and t are free. Output `vector` (b, dim).

    known (posts,): the posts that are published. Their rows are the graph's, in the same order; the number of them is
    the row of a post that it does not have.
    """
    tower = copy.deepcopy(tower)
    kept = torch.from_numpy(np.append(np.flatnonzero(known), len(known)))
    with torch.no_grad():
        learnt, fixed = tower.tower.posts(kept), tower.tower.sums.vectors(kept)
    tower.tower.posts = torch.nn.Embedding.from_pretrained(learnt)  # type: ignore[no-untyped-call]
    tower.tower.sums.vectors = torch.nn.Embedding.from_pretrained(fixed)  # type: ignore[no-untyped-call]
    two = torch.zeros(2, 3, dtype=torch.int64)
    example = two, two, two.float(), two, two == 0
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that replaces this one needs two more packages.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower, example, buffer, input_names=[*INPUTS], output_names=["vector"], opset_version=OPSET, dynamo=False,
            dynamic_axes={name: {0: "users", 1: "events"} for name in INPUTS} | {"vector": {0: "users"}},
        )  # fmt: skip
    return bytes(buffer.getvalue())
