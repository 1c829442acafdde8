"""Posts as answers show them."""

import time
from collections.abc import Container, Iterable
from typing import Any

import msgspec

from schemas.events import TYPE_CODES
from schemas.posts import Post
from schemas.user_state import reaction_key

from .metrics import Metrics
from .post_rows import PostRows

MOST_BYTES = 16 << 20
"""Some 10,000 posts; the busiest are few."""
BESIDE = 250
"""Bytes that Python takes for an entry beside its row and its JSON."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_REACTIONS = {"upvoted": TYPE_CODES["like"], "bookmarked": TYPE_CODES["bookmark"], "following": TYPE_CODES["follow"]}


class EncodedPosts:
    """The JSON of posts that the viewer did not react to: the same for all, so it is made once for each row.

    Bounded in bytes, and begun anew every `seconds` (setting CACHE_TTL).
    """

    def __init__(self, seconds: float, metrics: Metrics, most_bytes: int = MOST_BYTES) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._hits, self._misses = (metrics.cache_requests.labels("posts", outcome) for outcome in ("hit", "miss"))
        self._kept: dict[bytes, msgspec.Raw] = {}
        self._bytes, self._until = 0, 0.0

    def of(self, posts: PostRows, slots: Iterable[int]) -> list[msgspec.Raw]:
        """item() of each post that has a row, encoded."""
        if time.monotonic() >= self._until or self._bytes > self._most_bytes:
            self._kept, self._bytes, self._until = {}, 0, time.monotonic() + self._seconds
        found, missing = [], 0
        for slot in slots:
            if (row := posts.encoded(slot)) is None:
                continue
            if (kept := self._kept.get(row)) is None:
                if (post := posts[slot]) is None:
                    continue
                kept = self._kept[row] = msgspec.Raw(_encode(item(post)))
                self._bytes += len(kept) + len(row) + BESIDE
                missing += 1
            found.append(kept)
        self._hits.inc(len(found) - missing)
        self._misses.inc(missing)
        return found


def item(post: Post, reactions: Container[int] = ()) -> dict[str, Any]:
    """The post's JSON object. `upvoted`, `bookmarked`, `following` are the viewer's, whatever the row said.

    reactions: reaction_key of each reaction of the viewer that stands (UserState.reactions).
    """
    shown = _decode(post.item)
    for name, code in _REACTIONS.items():
        shown[name] = reaction_key(post.id, code) in reactions
    return shown
