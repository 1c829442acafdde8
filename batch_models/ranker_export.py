"""The ranker as ONNX: what the API scores candidates with, without torch. Batch norm is folded into the layers."""

import copy
import io
import warnings
from typing import Any

import torch
from torch.nn.utils import fusion

from online_models.post_table import TAGS
from online_models.ranking import COUNTS

from .ranker_network import WIDTH, Ranker

INPUTS = (
    "own", "authors", "tags", "counts", "past_own", "past_authors", "past_tags", "types", "values", "gaps", "there",
)  # fmt: skip
CANDIDATES = INPUTS[:4]
OPSET = 17


def folded(ranker: Ranker) -> Ranker:
    """A copy without batch norm that says the same."""
    ranker = copy.deepcopy(ranker).eval()
    norms = [*ranker.norms]
    ranker.first, ranker.second = (
        fusion.fuse_linear_bn_eval(layer, norm)
        for layer, norm in zip((ranker.first, ranker.second), norms, strict=True)
    )
    ranker.norms = torch.nn.ModuleList(torch.nn.Identity() for _ in norms)
    return ranker


def exported(ranker: Ranker) -> bytes:
    """The graph. Inputs as in Ranker.forward; the numbers of users, candidates and events are free. Output `logits`."""
    count, length = 4, 3
    whole = torch.zeros(2, count, dtype=torch.int64), torch.zeros(2, length, dtype=torch.int64)
    example = (
        torch.zeros(2, count, WIDTH), whole[0], torch.zeros(2, count, TAGS, dtype=torch.int64),
        torch.zeros(2, count, COUNTS), torch.zeros(2, length, WIDTH), whole[1],
        torch.zeros(2, length, TAGS, dtype=torch.int64), whole[1], whole[1].float(), whole[1], whole[1] == 0,
    )  # fmt: skip
    axes = {name: {0: "users", 1: "candidates" if name in CANDIDATES else "events"} for name in INPUTS}
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that replaces this one needs two more packages.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            folded(ranker), example, buffer, input_names=[*INPUTS], output_names=["logits"], opset_version=OPSET,
            dynamo=False, dynamic_axes=axes | {"logits": {0: "users", 1: "candidates"}},
        )  # fmt: skip
    return bytes(buffer.getvalue())
