"""What a post has in common with the user's tastes: tags, category and author."""

from typing import Any

import numpy as np

from online_models.post_table import TAG_CODES, TAGS, codes_of
from online_models.source_scores import TASTE_DECAY, TASTED

from ..stages import Candidates, Query, Slots

AUTHORS = 10
"""Of the last posts, whose authors count (online_models.source_scores.taste)."""


class Tastes:
    """`{"tags": {"running": 0.12}, "category": {"Sport": 0.4}, "author": "ann"}`: shares of the tags of the last
    TASTED posts, the newer counting more, and the share of those posts that are of the category; the author when one
    of the last AUTHORS posts is theirs. What does not match is left out."""

    name = "tastes"

    def explain(self, query: Query, candidates: Candidates, slots: Slots) -> list[Any]:
        catalogue, past = query.catalogue, query.past[:TASTED]
        if not len(past):
            return [None] * len(slots)
        tags = catalogue.tags[past]
        weights = np.broadcast_to(TASTE_DECAY ** np.arange(len(past))[:, None], tags.shape)
        own = np.bincount(tags[tags >= 0], weights[tags >= 0], TAG_CODES)
        own = own / max(own.sum(), 1e-9)
        categories, authors = catalogue.category[past], {*catalogue.author[past[:AUTHORS]].tolist()} - {-1}
        found: list[Any] = []
        for slot in slots.tolist():
            post = catalogue.posts[slot]
            matches: dict[str, Any] = {}
            if post is not None:
                _, codes = codes_of(post)
                named = dict.fromkeys([*([post.category] if post.category else []), *post.tags])
                shares = {name: float(own[code]) for name, code in zip([*named][:TAGS], codes, strict=False)}
                if shared := {name: round(share, 4) for name, share in shares.items() if share and name in post.tags}:
                    matches["tags"] = shared
                alike = float(np.mean(categories == catalogue.category[slot]))
                if post.category and alike:
                    matches["category"] = {post.category: round(alike, 4)}
                if int(catalogue.author[slot]) in authors:
                    matches["author"] = post.author
            found.append(matches or None)
        return found
