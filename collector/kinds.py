"""What is collected: our name of each kind, and where the external API has it."""

from typing import NamedTuple

from schemas.events import InteractionType


class Kind(NamedTuple):
    """number: of its lock, never changed. path, key: upstream's path, and the key of the list in its answer.

    interaction: the type of event that a row makes; None for posts and users. time, value: fields of a row; without
    `value` an event has the value 1. vanishes: a row that is gone takes its event back, or deletes its post.
    """

    name: str
    number: int
    path: str
    key: str
    interaction: InteractionType | None = None
    time: str = ""
    value: str | None = None
    vanishes: bool = False


# Users first: their names, and then posts, are there when interactions come.
_KINDS = (
    Kind("all-users", 1, "/users/get_all", "users"),
    Kind("all-posts", 2, "/posts/summary/get", "posts", vanishes=True),
    Kind("viewed-posts", 3, "/posts/view", "posts", "view", "viewed_at"),
    Kind("liked-posts", 4, "/posts/like", "posts", "like", "liked_at", vanishes=True),
    Kind("inspired-posts", 5, "/posts/inspire", "posts", "inspire", "inspired_at", vanishes=True),
    Kind("rated-posts", 6, "/posts/rating", "posts", "rating", "rated_at", "rating_percent", vanishes=True),
)
KINDS = {kind.name: kind for kind in _KINDS}
"""By name, in the order in which they are collected. Old views are purged upstream: those that vanish are kept."""
