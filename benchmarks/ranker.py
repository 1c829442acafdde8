"""How long the ranker takes for the candidates of a feed, beside a product of matrices that costs as many operations.

Prints lines, then one JSON object. Run: OPENBLAS_NUM_THREADS=1 python -m benchmarks.ranker
"""

import json
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import onnxruntime
import torch

from batch_models.ranker_export import INPUTS, exported
from batch_models.ranker_network import HEADS, LAYERS, WIDTH, Ranker
from online_models.post_table import TAG_CODES, TAGS
from online_models.ranking import AUTHORS, COUNTS, OUTPUTS
from schemas.events import INTERACTION_TYPES

CANDIDATES, EVENTS = 200, 50
TURNS = 2_000
GOAL_MS = 1.0


def inputs(draw: np.random.Generator) -> dict[str, np.ndarray]:
    """A request: one user."""
    few, past = (1, CANDIDATES), (1, EVENTS)
    columns = [
        draw.normal(size=(*few, WIDTH)), draw.integers(0, AUTHORS + 1, few), draw.integers(-1, TAG_CODES, (*few, TAGS)),
        draw.normal(size=(*few, COUNTS)), draw.normal(size=(*past, WIDTH)), draw.integers(0, AUTHORS + 1, past),
        draw.integers(-1, TAG_CODES, (*past, TAGS)), draw.integers(0, len(INTERACTION_TYPES), past),
        draw.random(past), draw.integers(0, 16, past), np.ones(past, np.bool_),
    ]  # fmt: skip
    singles = (column.astype(np.float32) if column.dtype == np.float64 else column for column in columns)
    return dict(zip(INPUTS, singles, strict=True))


def operations() -> int:
    """Multiplications and additions of the network's products."""
    attention = CANDIDATES * EVENTS * WIDTH * 2 + (CANDIDATES + 2 * EVENTS) * WIDTH * WIDTH
    fields = CANDIDATES * WIDTH * (COUNTS + 2 * 5) + WIDTH * WIDTH
    sizes = [6 * WIDTH, *LAYERS, len(OUTPUTS)]
    mlp = CANDIDATES * sum(left * right for left, right in pairwise(sizes))
    return 2 * (attention + fields + mlp)


def quantiles(work: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of a turn."""
    for _ in range(50):
        work()
    times = np.empty(TURNS)
    for turn in range(TURNS):
        began = time.perf_counter()
        work()
        times[turn] = time.perf_counter() - began
    return {name: round(float(np.quantile(times, share)) * 1000, 4) for name, share in (("p50", 0.5), ("p90", 0.9))}


def main() -> None:
    torch.manual_seed(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = exported(Ranker().eval())
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    draw = np.random.default_rng(1)
    asked, count = inputs(draw), operations()
    # CANDIDATES rows against a square: the shape of the MLP, as many operations as the whole network has.
    inner = round((count / (2 * CANDIDATES)) ** 0.5)
    left, right = draw.normal(size=(CANDIDATES, inner)), draw.normal(size=(inner, inner))
    left, right = left.astype(np.float32), right.astype(np.float32)
    ours, numpys = quantiles(lambda: session.run(None, asked)), quantiles(lambda: left @ right)
    report = {
        "candidates": CANDIDATES, "events": EVENTS, "heads_of_attention": HEADS, "mflop": round(count / 1e6, 2),
        "graph_kib": round(len(graph) / 1024), "ranker_ms": ours, "numpy_ms": numpys, "goal_ms": GOAL_MS,
        "ratio": round(ours["p50"] / numpys["p50"], 2),
    }  # fmt: skip
    print(f"{CANDIDATES} candidates against {EVENTS} events, {report['mflop']} MFLOP, one core")
    print(f"ranker {ours['p50']} ms, p90 {ours['p90']}; numpy's product {numpys['p50']} ms, p90 {numpys['p90']}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
