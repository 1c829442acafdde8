"""How long a refresh of each batch model takes: from nothing, and a day later, with the version in service to compare
with and the states that the first one left.

Trains, judges and trains again as `reelstream train` does, without services; a process a model, so that the memory is
its own. Prints lines, then one JSON object. Run: OPENBLAS_NUM_THREADS=1 python -m benchmarks.refresh_times ml-100k
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from batch_models import refresh
from batch_models.dataset import Interactions
from batch_models.model import Published
from reelstream import datasets
from reelstream.batch_evaluation import read
from schemas.errors import ReelstreamError
from schemas.settings import Settings

DAY = 86_400.0


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gives, CPU seconds of all threads, and seconds."""
    began, began_cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.process_time() - began_cpu, time.perf_counter() - began


def measured(name: str, whole: Interactions, folder: str) -> dict[str, Any]:
    """Of one model; `folder` takes its states."""
    settings = Settings(_env_file=None, model_path=Path(folder))
    model = import_module(f"batch_models.{refresh.MODELS[name]}")
    before = whole.part(0, int(np.searchsorted(whole.at, whole.at[-1] - DAY)))
    report: dict[str, Any] = {"model": name}
    trained, report["cpu_seconds"], report["seconds"] = timed(lambda: refresh.train(model, name, before, settings))
    vectors = trained.served.item_vectors
    known = vectors.any(axis=1)
    published = Published(before.post_ids[known], vectors[known], trained.served.graph() or b"")
    serving = refresh.Serving(published, float(before.at[-1]))

    def again() -> str:
        try:
            return refresh.train(model, name, whole, settings, serving).comparison
        except refresh.Refused as reason:
            return str(reason)

    report["comparison"], report["daily_cpu_seconds"], report["daily_seconds"] = timed(again)
    report["ndcg@10"] = trained.metrics()["ndcg@10"]
    report["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {key: round(value, 4 if "ndcg" in key else 1) if isinstance(value, float) else value
            for key, value in report.items()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name_or_dir")
    parser.add_argument("--model", action="append", choices=list(refresh.MODELS))
    parser.add_argument("--data", default=Path(".reelstream"), type=Path)
    given = parser.parse_args()
    whole = read(datasets.find(given.name_or_dir, given.data, print), None)
    day = int((whole.at > whole.at[-1] - DAY).sum())
    rows = []
    for name in given.model or list(refresh.MODELS):
        with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as pool:
            try:
                rows.append(pool.apply(measured, (name, whole, folder)))
            except ReelstreamError as error:
                rows.append({"model": name, "refused": str(error)})
        print(rows[-1], flush=True)
    sums = {key: round(sum(row.get(key, 0.0) for row in rows), 1) for key in ("cpu_seconds", "daily_cpu_seconds")}
    print(json.dumps({"events": len(whole), "events_of_the_day": day, "models": rows, **sums}))


if __name__ == "__main__":
    main()
