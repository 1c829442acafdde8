"""What it takes to score all posts for one user: each source of a feed, the choice of candidates, the learnt blend.

    python -m benchmarks.scoring [--posts 10000] [--turns 200]

Beside them numpy's product of as many vectors of 32 numbers with one, in the same run. A catalogue as the mirror holds
it, with every post learnt; the user has 200 posts. Medians, in microseconds; the last line is JSON.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from api.candidate_pipeline import CandidatePipeline
from api.catalogue import NEIGHBOURS, Catalogue
from api.compiled import compile_all
from api.learnt import Learnt, LearntPosts
from api.metrics import Metrics
from api.pipelines import feed_sources
from api.scorers.blend import Blend
from api.selector.top import Top
from api.stages import Query
from online_models.blend import HIDDEN
from online_models.co_visitation import growth
from online_models.features import FEATURES
from online_models.post_table import TAG_CODES
from schemas.item_state import ItemState
from schemas.learnt import FOLLOWERS, Weights, post_type
from schemas.posts import decode_post
from schemas.settings import Settings

DIM, PAST, NOW = 32, 200, time.time()


def world(posts: int, draw: np.random.Generator) -> Query:
    """A query as the hydrator leaves it."""
    catalogue = Catalogue()
    ids = np.arange(1, posts + 1)
    for post_id in ids.tolist():
        row = b'{"id":%d,"tags":["t%d","s%d"],"username":"a%d"}' % (post_id, post_id % 50, post_id % 37, post_id % 500)
        catalogue.set_row(post_id, decode_post(row))
        decayed = draw.exponential(size=3).tolist()
        catalogue.set_states([post_id], [ItemState(decayed=decayed, at=NOW - 60.0, strength=growth(NOW) * 50.0)])
        near = draw.choice(ids, NEIGHBOURS, replace=False)
        catalogue.set_neighbours(post_id, near, growth(NOW) * draw.exponential(size=NEIGHBOURS))
    catalogue.created_at[:posts] = NOW - draw.random(posts) * 3e6
    records = np.zeros(posts, post_type(5 * DIM + 3))
    records["vectors"] = draw.normal(size=(posts, 5 * DIM + 3))
    records["total"] = draw.integers(1, 500, posts)
    records["first_at"], records["last_at"], records["left"] = NOW - 1e5, NOW - 1e3, growth(NOW) * 50.0
    records["followers"] = draw.integers(1, posts + 1, (posts, FOLLOWERS))
    records["shares"] = 0.02
    learnt = LearntPosts(catalogue, 5 * DIM + 3)
    learnt.set(ids.tolist(), [record.tobytes() for record in records])
    width = len(FEATURES)
    weights = Weights(
        [*FEATURES], draw.normal(size=width).astype(np.float32),
        draw.normal(size=(HIDDEN, width + 1)).astype(np.float32), draw.normal(size=HIDDEN).astype(np.float32),
        np.ones(TAG_CODES, np.float32), 0.5, 1e6,
    )  # fmt: skip
    past = draw.choice(posts, PAST, replace=False).astype(np.int32)
    return Query(
        "u", NOW, catalogue, history=past.astype(np.int64), strengths=np.ones(PAST), past=past, glad=past,
        hours=np.full(PAST, 8, np.int8),
        online=Learnt(1, learnt, weights), own=draw.normal(size=DIM).astype(np.float32), last_at=NOW - 60.0,
    )  # fmt: skip


def fresh(query: Query) -> Query:
    """As it was before anything of it was worked out."""
    query._decayed, query._visited = np.empty((3, 0)), np.empty((2, 0))
    return query


def microseconds(work: Callable[[], Any], turns: int) -> float:
    """Median of `turns` calls."""
    spent = []
    for _ in range(turns):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return round(1e6 * statistics.median(spent), 1)


def measure(posts: int, turns: int) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    query, sources = world(posts, draw), feed_sources()
    feed = CandidatePipeline([], sources, [], [Blend(Settings(_env_file=None))], Top(), [], Metrics())
    figures = {source.name: microseconds(lambda s=source: s.retrieve(fresh(query)), turns) for source in sources}
    kept = np.ones(query.catalogue.size, np.bool_)
    found = feed._retrieval.found(query, [])
    candidates = feed._retrieval.candidates(query, kept, found)
    outputs, user = draw.normal(size=(posts, DIM)).astype(np.float32), draw.normal(size=DIM).astype(np.float32)

    def every() -> None:
        fresh(query)
        for source in sources:
            source.retrieve(query)

    return {
        "posts": posts, "sources": figures, "all_sources": microseconds(every, turns),
        "candidates": microseconds(lambda: feed._retrieval.candidates(query, kept, found), turns),
        "blend": microseconds(lambda: feed.scorers[0].score(query, candidates, np.zeros(len(candidates.slots))), turns),
        "union": len(candidates.slots), "numpy_product": microseconds(lambda: outputs @ user, turns),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=200)
    options = parser.parse_args()
    compile_all(Settings(_env_file=None))
    found = measure(options.posts, options.turns)
    for name, value in [*found["sources"].items(), *((n, v) for n, v in found.items() if not isinstance(v, dict))]:
        print(f"{name:>16} {value:>10}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
