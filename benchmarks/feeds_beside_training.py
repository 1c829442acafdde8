"""Feeds of one client while batch models are trained beside them, against the same without.

    python -m benchmarks.feeds_beside_training [DATA_SET] [--posts 10000] [--users 5000] [--events 100000]
        [--seconds 10] [--rounds 3]

The API and its feeds are those of serving.py, cold and warm; the training is that of refresh_times.py on a data set,
with the priority that `reelstream up` gives it. It is stopped and goes on (SIGSTOP, SIGCONT) in turns, so that both
kinds of rounds have the same machine. Prints medians over the rounds, and their ratio last, as JSON.
"""

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from reelstream import parts
from reelstream.child import Child

sys.path.insert(0, str(Path(__file__).parent))

from serving import COLD, ONE, PARTITIONS, WARM, WARM_UP, load, served
from serving_world import fill
from system import embedded_services, last_line

RETURNING = 500
"""Users whose lists are kept, of warm feeds."""
MODELS = ("deep", "ranker", "content")


@contextmanager
def training(data_set: str, data: Path) -> Iterator[subprocess.Popen[str]]:
    """Batch models one after the other, until they are not needed any more; begun, and stopped for now."""
    command = [sys.executable, "-m", "benchmarks.refresh_times", data_set, "--data", str(data)]
    for name in MODELS:
        command += ["--model", name]
    child = Child(name="training", command=command, nice=parts.trainer(1.0, {}).nice)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **child.popen_arguments()) as process:
        try:
            assert process.stdout is not None
            if not any("settings chosen" in line for line in process.stdout):
                raise SystemExit("the training ended before it began")
            os.killpg(process.pid, signal.SIGSTOP)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """Of a process and all below it."""
    root = psutil.Process(process.pid)
    return sum(sum(each.cpu_times()[:2]) for each in (root, *root.children(recursive=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_set", nargs="?", default="ml-100k")
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", default=Path(".reelstream"), type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    times: dict[tuple[str, bool, str], list[float]] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, embedded_services(Path(folder)) as services:
        scripts = {"cold": COLD % options.users, "warm": WARM % RETURNING}
        for name, script in scripts.items():
            (Path(folder) / name).write_text(script)
        asyncio.run(fill(services["REDIS_URL"], PARTITIONS, options.posts, options.users, options.events))
        environment = services | {"KAFKA_PARTITIONS": str(PARTITIONS)}
        with served(1, environment) as (feeds, _), training(options.data_set, options.data) as process:
            spent = 0.0
            for name in scripts:
                load(feeds, WARM_UP, ONE, "-s", str(Path(folder) / name))
                for number in range(2 * options.rounds):
                    beside = number % 2 == 1
                    before = cpu_seconds(process)
                    os.killpg(process.pid, signal.SIGCONT if beside else signal.SIGSTOP)
                    found = load(feeds, options.seconds, ONE, "-s", str(Path(folder) / name))
                    spent += cpu_seconds(process) - before if beside else 0.0
                    print({"feeds": name, "training": beside, **found}, flush=True)
                    for part in ("p50_ms", "p99_ms"):
                        times.setdefault((name, beside, part), []).append(found[part])
            if process.poll() is not None:
                raise SystemExit("the training ended before the last round: take a larger data set or fewer rounds")
    medians = {key: statistics.median(values) for key, values in times.items()}
    last_line({
        "training_cpu_share": round(spent / (2 * options.rounds * options.seconds), 2),
        **{
            name: {
                "without": {part: medians[name, False, part] for part in ("p50_ms", "p99_ms")},
                "beside": {part: medians[name, True, part] for part in ("p50_ms", "p99_ms")},
                "ratio": {
                    part: round(medians[name, True, part] / medians[name, False, part], 2)
                    for part in ("p50_ms", "p99_ms")
                },
            }
            for name in scripts
        },
    })  # fmt: skip


if __name__ == "__main__":
    main()
