"""The item side in arrays: one slot a post, so that a request works with masks and positions, never with objects."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from online_models.moods import MOODS, MoodMap
from online_models.post_table import INTERESTS, TAG_CODES, TAGS, codes_of, interests_of
from schemas.item_state import ItemState
from schemas.posts import Post

NEIGHBOURS = 128
"""Neighbours kept of a post, the strongest first: all that there are (online_models.co_visitation), 1.5 KB a post. With
64, what the learner knows as weak evidence was none here: ½ ln of the score was off by .21 on average, now by .03."""


SERVABLE, UNKNOWN, DELETED, LOCKED, NOT_PUBLIC = range(5)
"""Why a post may or may not be shown."""


class Catalogue:
    """Posts by slot. A slot never changes its post; arrays are longer than `size`, use `[:size]`.

    revision: grows with each change; row_revision: with each row that came. slots: post id → slot. posts: the row, or
    None for a post known only as a neighbour, or deleted.
    ids (N,); servable (N,): may be shown; created_at (N,): seconds, 0 unknown; category (N,): code of its name.
    availability (N,): SERVABLE, or why not. project (N,): code of the project of its topic, −1 for none.
    category_codes: small letters → code; category_slugs and category_ids: → code as well. moods (N, 5): how
    much it is of each mood, up to 1; all 0 when nothing tells. written_by (N,): of author_codes, −1 for nobody.
    author (N,), tags (N, TAGS), interests (N, INTERESTS): codes, as in online_models.post_table.
    known_tags (TAG_CODES,): tags that a post has.
    decayed (N, 3) as of `at` (N,), strength (N,): as in schemas.item_state.
    neighbour_slots (N, NEIGHBOURS): padded with -1; neighbour_weights beside it, strongest first; of both, the first
    neighbour_counts (N,) mean something. revisions (N,): how often a row of the post came. sums (2, N): zeros, for
    those who add up scores of a few slots and take them out again.
    """

    def __init__(self, capacity: int = 1024, mood_map: MoodMap | None = None) -> None:
        self.size = 0
        self.revision = 0
        self.row_revision = 0
        self.mood_map = mood_map or MoodMap.load()
        self.slots: dict[int, int] = {}
        self.posts: list[Post | None] = []
        self.category_codes: dict[str, int] = {}
        self.category_slugs: dict[str, int] = {}
        self.category_ids: dict[int, int] = {}
        self.project_codes: dict[str, int] = {}
        self.author_codes: dict[str, int] = {}
        self.known_tags = np.zeros(TAG_CODES, np.bool_)
        self.ids = np.zeros(capacity, np.int64)
        self.servable = np.zeros(capacity, np.bool_)
        self.availability = np.full(capacity, UNKNOWN, np.int8)
        self.project = np.full(capacity, -1, np.int32)
        self.written_by = np.full(capacity, -1, np.int32)
        self.moods = np.zeros((capacity, len(MOODS)), np.float32)
        self.created_at = np.zeros(capacity)
        self.revisions = np.zeros(capacity, np.int32)
        self.category = np.full(capacity, -1, np.int32)
        self.author = np.full(capacity, -1, np.int32)
        self.tags = np.full((capacity, TAGS), -1, np.int16)
        self.interests = np.full((capacity, INTERESTS), -1, np.int16)
        self.decayed = np.zeros((capacity, 3))
        self.at = np.zeros(capacity)
        self.strength = np.zeros(capacity)
        self.neighbour_slots = np.full((capacity, NEIGHBOURS), -1, np.int32)
        self.neighbour_weights = np.zeros((capacity, NEIGHBOURS))
        self.neighbour_counts = np.zeros(capacity, np.int32)
        self.sums = np.zeros((2, capacity))

    def slot(self, post_id: int) -> int:
        """The slot of a post; a new one, not servable, for an id that has none."""
        slot = self.slots.get(post_id)
        if slot is None:
            slot = self.size
            if slot == len(self.ids):
                self._grow()
            self.slots[post_id] = slot
            self.ids[slot] = post_id
            self.posts.append(None)
            self.size += 1
        return slot

    def post(self, post_id: int) -> Post | None:
        slot = self.slots.get(post_id)
        return None if slot is None else self.posts[slot]

    def set_row(self, post_id: int, post: Post | None) -> None:
        """A new row of a post; None when it was deleted."""
        slot = self.slot(post_id)
        self.revision += 1
        self.row_revision += 1
        self.posts[slot] = post
        self.revisions[slot] += 1
        self.servable[slot] = post is not None and post.servable
        if post is None:
            self.availability[slot] = DELETED
            return
        self.availability[slot] = SERVABLE if post.servable else LOCKED if post.locked else NOT_PUBLIC
        self.created_at[slot] = post.created_at
        self.author[slot], self.tags[slot] = codes_of(post)
        self.known_tags[self.tags[slot][self.tags[slot] >= 0]] = True
        self.interests[slot] = interests_of(post, self.mood_map)
        code = self.category_codes.setdefault(post.category.casefold(), len(self.category_codes))
        self.category[slot] = code
        if post.category:
            self.category_slugs.setdefault(slug(post.category), code)
            self.category_ids[post.category_id] = code
        self.project[slot] = _code(self.project_codes, post.project_code)
        self.written_by[slot] = _code(self.author_codes, post.author)
        self.moods[slot] = self.mood_map.of(post)

    def set_state(self, post_id: int, state: ItemState) -> None:
        slot = self.slot(post_id)
        self.revision += 1
        self.decayed[slot] = state.decayed
        self.at[slot] = state.at
        self.strength[slot] = state.strength

    def set_neighbours(self, post_id: int, ids: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """At most NEIGHBOURS posts and their weights, strongest first (schemas.item_state.Neighbours.strongest).

        Those that are not known yet get a slot of their own, and resolve when their rows arrive.
        """
        slot, count = self.slot(post_id), len(ids)
        self.revision += 1
        # Slots first: taking a new one may replace the arrays.
        slots = [known if (known := self.slots.get(near)) is not None else self.slot(near) for near in ids.tolist()]
        self.neighbour_slots[slot, :count] = slots
        self.neighbour_slots[slot, count:] = -1
        self.neighbour_weights[slot, :count] = weights
        self.neighbour_weights[slot, count:] = 0.0
        self.neighbour_counts[slot] = count

    def known_slots(self, post_ids: Iterable[int]) -> NDArray[np.int64]:
        """Slots of those posts that have one, in their order."""
        return np.array([slot for slot in map(self.slots.get, post_ids) if slot is not None], np.int64)

    def count_posts(self) -> int:
        return int(np.count_nonzero(self.servable[: self.size]))

    def _grow(self) -> None:
        """Doubles every array, so that adding N posts copies each a constant number of times."""
        for name in (
            "ids", "servable", "availability", "project", "written_by", "moods", "created_at", "category",
            "author", "tags", "interests", "decayed", "at", "strength", "revisions",
            "neighbour_slots", "neighbour_weights", "neighbour_counts",
        ):  # fmt: skip
            old = getattr(self, name)
            new = np.full((2 * len(old), *old.shape[1:]), _PADDED.get(name, 0), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
        self.sums = np.zeros((2, len(self.ids)))


def slug(name: str) -> str:
    """As in addresses: small letters and digits with hyphens between."""
    return "-".join(_words.findall(name.casefold()))


def _code(codes: dict[str, int], name: str) -> int:
    return codes.setdefault(name.casefold(), len(codes)) if name else -1


_words = re.compile(r"[^\W_]+")
_PADDED = {
    "category": -1, "author": -1, "tags": -1, "interests": -1, "neighbour_slots": -1, "project": -1, "written_by": -1,
    "availability": UNKNOWN,
}  # fmt: skip
