"""Candidates that are popular among the posts a user's row speaks of, for one who did not do much yet."""

import re
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np

from online_models.compiled import compiled
from online_models.moods import MOODS
from online_models.post_table import TAG_CODES
from schemas.users import User, decode_user

from ..query_hydrators.user_state import AUTHOR_LISTS
from ..retrieved import OfAll, Retrieved, nothing
from ..segments import popularity
from ..stages import Mask, Query

MOST_WORDS = 200
"""Of a row, which is free in what it holds."""
MOST_EVENTS = 200
"""From here on it would count less than a fortieth, and is left out."""


class Segment:
    """Popularity within the segments that `bio` and `attributes` of the user row name, in any words:

        score = match · popularity of a week (api.segments)
        match = 1 for a category or a project, else the share of the post's tags; and, of the moods that the words speak
                for (online_models/moods.toml, or a mood by its name), how much the post is of them

    It knows what users say of themselves and not what they do, so it counts as the sources do that don't know the user:
    less with each event.
    """

    name = "segment"
    personal = False
    of_reader = True

    def retrieve(self, query: Query) -> Retrieved:
        if query.profile is None or query.state.events > MOST_EVENTS:
            return nothing()
        texts = [text.casefold() for text in _texts(decode_user(query.profile))]
        found = [*texts, *(word for text in texts for word in _word.findall(text))][:MOST_WORDS]
        words = dict.fromkeys(word for word in found if len(word) > 1)
        if not words:
            return nothing()
        catalogue, size = query.catalogue, query.catalogue.size
        categories = _told(words, [catalogue.category_codes, catalogue.category_slugs], len(catalogue.category_codes))
        projects = _told(words, [catalogue.project_codes], len(catalogue.project_codes))
        tags = np.zeros(TAG_CODES, np.bool_)
        tags[[crc32(word.encode()) % TAG_CODES for word in words]] = True
        tags &= catalogue.known_tags
        leaning = np.zeros(len(MOODS), np.float32)
        for word in words:
            mood = MOODS.index(word) if word in MOODS else catalogue.mood_map.words.get(word)
            if mood is not None:
                leaning[mood] += 1.0
        if not (categories.any() or projects.any() or tags.any() or leaning.any()):
            return nothing()
        shares = np.empty(size)
        match(
            catalogue.category[:size], catalogue.project[:size], catalogue.tags[:size], catalogue.moods[:size],
            categories, projects, tags, leaning / max(float(leaning.sum()), 1.0), shares,
        )  # fmt: skip
        return OfAll(shares * popularity(query, window="7d"))


def _told(words: dict[str, None], codes: list[dict[str, int]], count: int) -> Mask:
    """(count,): which codes the words name."""
    told = np.zeros(count, np.bool_)
    told[[known[word] for known in codes for word in words if word in known]] = True
    return told


@compiled
def match(
    category: Any, project: Any, tags: Any, moods: Any, categories: Any, projects: Any, spoken: Any, leaning: Any,
    shares: Any,
) -> None:  # fmt: skip
    """Fills shares (N,): 60 µs for 10,000 posts, where arrays took 2 ms."""
    for slot in range(len(shares)):
        found, count = 0, 0
        for tag in tags[slot]:
            if tag >= 0:
                count += 1
                found += spoken[tag]
        share = found / count if count else 0.0
        if category[slot] >= 0 and categories[category[slot]]:
            share = 1.0
        if project[slot] >= 0 and projects[project[slot]]:
            share = 1.0
        for mood in range(len(leaning)):
            share += leaning[mood] * moods[slot, mood]
        shares[slot] = share


def _texts(user: User) -> Iterator[str]:
    """Whatever text the row has: it has no fixed form."""
    pending: list[Any] = [user.bio, *(value for key, value in user.attributes.items() if key not in AUTHOR_LISTS)]
    for _ in range(MOST_WORDS):
        if not pending:
            return
        value = pending.pop(0)
        if isinstance(value, str):
            yield value[:500]
        elif isinstance(value, list | dict):
            pending[:0] = value.values() if isinstance(value, dict) else value


_word = re.compile(r"[\w'/-]+")
