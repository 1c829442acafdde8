"""What the online models cost, in one process: learning, ranking, and what to compare them with.

    OPENBLAS_NUM_THREADS=1 python benchmarks/learning.py [--events 20000]

MovieLens-100K (1,682 posts) through the code of `evaluate online`; CPU seconds of the process, so that others on the
machine count little. Yardsticks in the same run: River's BiasedMF, one event at a time, and numpy's product of as many
posts with one vector. BLAS gets one thread, as in the workers.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from river import reco

from online_models.pairwise_mf import PairwiseMF
from online_models.past_table import LENGTH
from online_models.positives import Positives
from online_models.recommender import Recommender
from online_models.sources import MINIBATCH
from reelstream import datasets
from reelstream.datasets.folder import Folder
from reelstream.evaluation import Evaluation
from schemas.events import Interaction

POSITIVE = ["rating:80"]


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def evaluated(folder: Folder, events: int, sample: bool) -> tuple[float, int]:
    """CPU seconds, and how many positives were ranked."""
    run = Evaluation(Positives(POSITIVE if sample else ["follow"]), 0.0, 1)
    seconds = cpu_seconds(lambda: run.run(folder, events, lambda done: None))
    return seconds, run.prequential.scored


def biased_mf(events: list[Interaction]) -> float:
    model = reco.BiasedMF(n_factors=32)
    return cpu_seconds(
        lambda: [
            model.learn_one(event.username, event.post_id, (event.interaction_value or 0.0) / 100.0) for event in events
        ]
    )


def pairwise_mf(events: list[Interaction]) -> float:
    """Without its way through Python: slots are known, pasts are short. The best of three rounds, as the whole takes
    less than a tenth of a second."""
    model = PairwiseMF(capacity=4_096, users=4_096)
    users = np.array([model.admit_user(hash(event.username)) for event in events], np.int32)
    posts = np.array([model._admit(event.post_id) for event in events], np.int32)
    lengths, pasts = np.full(MINIBATCH, 8, np.int32), np.tile(np.arange(LENGTH, dtype=np.int32), (MINIBATCH, 1))

    def learn() -> None:
        for at in range(0, len(events), MINIBATCH):
            batch = slice(at, at + MINIBATCH)
            count = len(posts[batch])
            model.learn_many(posts[batch], pasts[:count], lengths[:count], users[batch])

    return min(cpu_seconds(learn) for _ in range(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--data", type=Path, default=Path(".reelstream"), help="where data sets are kept")
    options = parser.parse_args()
    folder = datasets.find("ml-100k", options.data, print)
    events = [event.value for event in folder.events() if isinstance(event.value, Interaction)][: options.events]
    Recommender(sample=1.0, capacity=64, users=8).rehearse()
    evaluated(folder, 2_000, sample=True)
    learning, _ = evaluated(folder, options.events, sample=False)
    whole, scored = evaluated(folder, options.events, sample=True)
    posts, vector = np.ones((1_682, 32), np.float32), np.ones(32, np.float32)
    product = cpu_seconds(lambda: [posts @ vector for _ in range(10_000)]) / 10_000
    river = options.events / biased_mf(events)
    print(json.dumps({
        "learning_events_per_second": round(options.events / learning),
        "learn_rank_and_blend_scored_per_second": round(scored / whole),
        "microseconds_to_rank_and_blend_one": round((whole - learning) / scored * 1e6, 1),
        "numpy_product_microseconds": round(product * 1e6, 2),
        "pairwise_mf_events_per_second": round(options.events / pairwise_mf(events)),
        "river_biased_mf_events_per_second": round(river),
        "learning_all_against_river_biased_mf": round(options.events / learning / river, 2),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
