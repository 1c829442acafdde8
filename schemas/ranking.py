"""What the ranker expects to follow when a user comes to a post, and what that is worth (setting RANKER_WEIGHTS)."""

from typing import Literal, cast, get_args

Head = Literal["watched", "like", "share", "negative"]
HEADS = cast(tuple[Head, ...], get_args(Head))
"""The fraction watched, and whether a like (or inspire, bookmark, comment, follow, a rating from 80), a share, or a
dislike follows."""
DEFAULT_HEAD_WEIGHTS: dict[Head, float] = {"watched": 1.0, "like": 1.0, "share": 1.0, "negative": -2.0}
