"""The partition of a post, compiled, is the one where every producer puts it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import MOST_ID
from schemas.topics import post_owner
from streams.post_owners import post_owners


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 10**6) | st.integers(0, MOST_ID)), st.integers(1, 1000))
def test_many_posts_belong_where_each_of_them_does(post_ids: list[int], partitions: int):
    owners = post_owners(np.array(post_ids, np.int64), partitions).tolist()
    assert owners == [post_owner(post_id, partitions) for post_id in post_ids]


def test_every_length_of_an_id_is_placed_rightly():
    ids = [10**digits + extra for digits in range(16) for extra in range(10)]
    assert post_owners(np.array(ids), 997).tolist() == [post_owner(post_id, 997) for post_id in ids]
