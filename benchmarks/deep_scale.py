"""How many examples a second the deep model learns, and what memory that takes: on events that are made up.

Users in 20 groups with tastes of their own; posts are as unequally popular as in a feed. Prints lines, then one JSON
object. Run: OPENBLAS_NUM_THREADS=1 python -m benchmarks.deep_scale --events 1000000
With --seconds it stops so long after its first step, and tells how long all would take.
In several processes: torchrun --nproc-per-node 2 -m benchmarks.deep_scale
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from batch_models import course
from batch_models.course import Job, Plan
from batch_models.dataset import Content, Interactions
from batch_models.deep_ranker import Deep
from batch_models.event_sequences import sequences, windows
from batch_models.post_facts import facts_of
from batch_models.processes import Processes
from batch_models.progress import Told
from online_models.content_tokens import post_tokens, user_tokens
from online_models.positives import Positives
from schemas.events import DEFAULT_WEIGHTS, TYPE_CODES

GROUPS, SPAN, DIM = 20, 30 * 86_400.0, 128


class Enough(Exception):
    """So long was to be measured."""


def made_up(events: int, users: int, posts: int, seed: int = 1) -> Interactions:
    draw = np.random.default_rng(seed)
    of = draw.integers(users, size=events)
    favourite = np.minimum((posts // GROUPS) * draw.random(events) ** 2, posts // GROUPS - 1).astype(np.int64)
    anywhere = np.minimum(posts * draw.random(events) ** 3, posts - 1).astype(np.int64)
    met = np.where(draw.random(events) < 0.7, favourite * GROUPS + of % GROUPS, anywhere)
    ids = np.arange(1, posts + 1)
    return Interactions(
        users=of.astype(np.int32), posts=met.astype(np.int32), types=np.full(events, TYPE_CODES["view"], np.uint8),
        values=draw.random(events).astype(np.float32), at=1.7e9 + np.sort(draw.random(events)) * SPAN, post_ids=ids,
        servable=np.ones(posts, np.bool_), facts=facts_of([], ids), user_count=users,
        content=Content(post_tokens([None] * posts), user_tokens([None] * users)),
    )  # fmt: skip


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=6_000)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--seconds", type=float)
    given = parser.parse_args()
    torch.set_num_threads(1)
    part = made_up(given.events, given.users, given.posts)
    began, cpu = time.perf_counter(), time.process_time()
    measured: dict[str, float] = {}

    @contextmanager
    def watched(what: str, steps: int, done: int = 0) -> Iterator[Told]:
        first = time.perf_counter(), time.process_time()
        measured["before_seconds"] = round(first[0] - began, 1)

        def told(step: int, loss: float) -> None:
            seconds = time.perf_counter() - first[0]
            measured.update(step=step, steps=steps, seconds=seconds, cpu=time.process_time() - first[1], loss=loss)
            if given.seconds is not None and seconds > given.seconds:
                raise Enough

        yield told

    course.progress = watched
    try:
        Deep(DIM, Positives(), Job(Plan())).fit(part, DEFAULT_WEIGHTS, 1)
    except Enough:
        print(f"stopped after {measured['step']:.0f} of {measured['steps']:.0f} steps")
    every = windows(sequences(part, Positives()))
    places = float((every[:, 1] - every[:, 2]).mean()) * Plan.batch
    processes = Processes()
    rate = measured["step"] * places / measured["cpu"]
    report = {
        "events": given.events, "users": given.users, "posts": given.posts, "processes": processes.count,
        "device": str(processes.device), "examples_a_cpu_second": round(rate),
        "examples_a_second": round(measured["step"] * places / measured["seconds"]),
        "before_the_first_step_s": measured["before_seconds"], "steps": measured["steps"],
        "all_steps_cpu_s": round(measured["steps"] * measured["cpu"] / measured["step"]),
        "cpu_s": round(time.process_time() - cpu, 1), "peak_mib": peak_mib(), "loss": round(measured["loss"], 3),
    }  # fmt: skip
    if processes.rank == 0:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
