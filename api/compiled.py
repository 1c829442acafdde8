"""Compiles what feeds call: numba does it at the first call of each kind, which no request should wait for."""

import asyncio

import numpy as np

from online_models.blend import HIDDEN
from online_models.features import FEATURES
from online_models.post_table import TAG_CODES
from schemas.ease import decode, encode
from schemas.learnt import Weights, post_type
from schemas.models import ModelVersion
from schemas.posts import decode_post
from schemas.settings import Settings

from .candidate_pipeline import CandidatePipeline
from .catalogue import Catalogue
from .learnt import Learnt, LearntPosts
from .learnt_ease import LearntEase
from .metrics import Metrics
from .models import ItemVectors
from .pipelines import feed_sources
from .scorers import ranker
from .scorers.blend import Blend
from .selector.exploration import Exploration
from .selector.mmr import Mmr
from .selector.top import Top
from .stages import Query

WIDTH = 5 * 2 + 3


def compile_all(settings: Settings) -> list[str]:
    """A feed of four posts, in a thread before the first request: 5.5 s without a cache, .6 s with one. The cache lies
    beside the modules, or in the user's cache directory. With it, an API process takes 45 MB more than without numba,
    and .2 s longer to import. Returns what failed.
    """
    catalogue, ids = Catalogue(4), [1, 2, 3, 4]
    for post_id in ids:
        catalogue.set_row(post_id, decode_post(b'{"id":%d,"category":"aa"}' % post_id))
    catalogue.set_neighbours(1, np.array([2]), np.ones(1))
    posts = LearntPosts(catalogue, WIDTH)
    records = np.ones(len(ids), post_type(WIDTH))
    posts.set(ids, [record.tobytes() for record in records])
    width = len(FEATURES)
    weights = Weights(
        [*FEATURES], np.ones(width, np.float32), np.ones((HIDDEN, width + 1), np.float32),
        np.ones(HIDDEN, np.float32), np.ones(TAG_CODES, np.float32), 0.5, 1.0,
    )  # fmt: skip
    # By way of bytes, as numba compiles what can't be written to anew.
    ease = LearntEase(catalogue, decode(encode(np.array([1, 2]), np.ones((2, 2), np.float32))))
    version = ModelVersion(model="svd", version="", created_at=0.0, dim=1, items=2, chunks=1, metrics={})
    svd = ItemVectors(version, np.array([1, 2]), np.ones((2, 1), np.float32))
    query = Query(
        "", 1e9, catalogue, history=np.zeros(1, np.int64), strengths=np.ones(1), past=np.zeros(1, np.int32),
        glad=np.zeros(1, np.int32), disliked=np.zeros(1, np.int32), online=Learnt(0, posts, weights, ease),
        own=np.ones(posts.dim, np.float32), diversity=0.5, profile=b'{"username":"a","bio":"aa"}',
        vectors={"svd": svd}, page_size=3,
    )  # fmt: skip
    some = np.zeros(1, np.int64)
    ranker.posts_of(catalogue, svd, some, some)
    feed = CandidatePipeline([], feed_sources(), [], [Blend(settings)], Exploration(Mmr(Top())), [], Metrics())
    return asyncio.run(feed.run(query)).degraded
