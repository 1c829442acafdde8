"""Graphs of trained models, run without what they were trained with."""

from typing import Any


def session(graph: bytes) -> Any:
    """An ONNX Runtime session on one thread. Raises what ONNX Runtime raises for what is no graph."""
    import onnxruntime  # 34 MB and .1 s, which a process without such a model saves

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    made = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    # It has its own copy of the tables, and would keep the bytes, 9 MB of `deep` with 10,000 posts, to make itself anew
    # with other providers.
    made._model_bytes = None
    return made
