"""Posts as answers show them."""

from collections.abc import Container
from typing import Any

import msgspec

from schemas.events import TYPE_CODES
from schemas.posts import Post
from schemas.user_state import reaction_key

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_REACTIONS = {"upvoted": TYPE_CODES["like"], "bookmarked": TYPE_CODES["bookmark"], "following": TYPE_CODES["follow"]}


def item(post: Post, reactions: Container[int] = ()) -> dict[str, Any]:
    """The post's JSON object. `upvoted`, `bookmarked`, `following` are the viewer's, whatever the row said.

    reactions: reaction_key of each reaction of the viewer that stands (UserState.reactions).
    """
    shown = _decode(post.item)
    for name, code in _REACTIONS.items():
        shown[name] = reaction_key(post.id, code) in reactions
    return shown
