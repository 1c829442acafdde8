"""Candidates that users went to right after the posts this user met last."""

from online_models.post_columns import Rows
from online_models.transitions import PAST, followed

from ..retrieved import OfFew, Retrieved, nothing
from ..stages import Query


class Next:
    """Followers of the last five posts (online_models.transitions)."""

    name = "next"
    personal = True

    def retrieve(self, query: Query) -> Retrieved:
        if (learnt := query.learnt) is None:
            return nothing()
        posts, last = learnt.posts, query.past[:PAST]
        posts.make_room()
        rows = Rows(posts.followers, posts.follower_weights, posts.follower_counts, last)
        return OfFew(*followed(rows, posts.left[last], query.scale, query.catalogue.sums))
