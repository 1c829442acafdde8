"""The past of an event as models learn from it: distinct posts, without disliked ones."""

import numpy as np
from numpy.typing import NDArray

from schemas.history import TYPE_MASK
from schemas.learning import LearningBatch

from .aversion import NEGATIVE
from .compiled import compiled

MOST_POSTS = 50


def distinct_contexts(batch: LearningBatch) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """starts (n + 1,) and posts (d,): those of event e are posts[starts[e] : starts[e + 1]], newest first, each once,
    at most MOST_POSTS, without disliked ones and the post of the event itself.

    1.4 µs an event with a full past, in a thread without the interpreter's lock.
    """
    starts, context = np.empty_like(batch.starts), np.empty_like(batch.context)
    count = _distinct(batch.starts, batch.context, batch.kinds, batch.post_id, NEGATIVE, starts, context)
    return starts, context[:count]


@compiled
def _distinct(
    starts: NDArray[np.int32],
    context: NDArray[np.int64],
    kinds: NDArray[np.int32],
    post_id: NDArray[np.int64],
    negative: NDArray[np.bool_],
    found_starts: NDArray[np.int32],
    found: NDArray[np.int64],
) -> int:
    count = 0
    for event in range(len(post_id)):
        first = count
        found_starts[event] = first
        for place in range(starts[event + 1] - 1, starts[event] - 1, -1):
            post = context[place]
            if post == post_id[event] or negative[kinds[place] & TYPE_MASK]:
                continue
            known = False
            for other in range(first, count):
                if found[other] == post:
                    known = True
                    break
            if not known:
                found[count] = post
                count += 1
                if count - first == MOST_POSTS:
                    break
    found_starts[len(post_id)] = count
    return count
