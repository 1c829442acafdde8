"""What the rows of posts say, in columns beside a snapshot: codes, as feeds know them (online_models.post_table).

So what is learnt of a tag or an author holds for a post that nobody has met.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.post_table import TAGS, codes
from schemas.posts import Post


class Facts(NamedTuple):
    """authors (p,): codes, −1 unknown. tags (p, TAGS): of the category and the tags, −1 for none. created_at (p,):
    seconds since 1970, 0 unknown."""

    authors: NDArray[np.int32]
    tags: NDArray[np.int16]
    created_at: NDArray[np.float64]

    def of(self, posts: NDArray[np.int64]) -> "Facts":
        """Those of some posts (k,), by position."""
        return Facts(self.authors[posts], self.tags[posts], self.created_at[posts])


def facts_of(rows: Iterable[Post], post_ids: NDArray[np.int64]) -> Facts:
    """Of the posts `post_ids` (p,), ascending; nothing is known of those without a row."""
    count = len(post_ids)
    found = Facts(np.full(count, -1, np.int32), np.full((count, TAGS), -1, np.int16), np.zeros(count))
    place = {post_id: number for number, post_id in enumerate(post_ids.tolist())}
    for row in rows:
        number = place[row.id]
        found.authors[number], found.tags[number] = codes(row.author, row.category, row.tags)
        found.created_at[number] = row.created_at
    return found
