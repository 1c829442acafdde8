"""The item side in arrays: one slot a post, so that a request works with masks and positions, never with objects."""

import re
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from online_models.moods import MOODS, MoodMap
from online_models.post_table import INTERESTS, LEADING, TAG_CODES, TAGS, author_of, labels_of
from schemas.item_state import ItemState, NeighboursOfMany
from schemas.posts import Post, encode

from .neighbour_table import NeighbourTable
from .post_rows import PostRows

SERVABLE, UNKNOWN, DELETED, LOCKED, NOT_PUBLIC = range(5)
"""Why a post may or may not be shown."""


class Catalogue:
    """Posts by slot. A slot never changes its post; arrays are longer than `size`, use `[:size]`.

    revision: grows with each change; row_revision: with each row that came. slots: post id → slot. posts: their rows.
    ids (N,); servable (N,): may be shown; created_at (N,): seconds, 0 unknown; category (N,): code of its name.
    availability (N,): SERVABLE, or why not. project (N,): code of the project of its topic, −1 for none.
    category_codes: small letters → code; category_slugs and category_ids: → code as well. moods (N, 5): how
    much it is of each mood, up to 1; all 0 when nothing tells. written_by (N,): of author_codes, −1 for nobody.
    author (N,), tags (N, TAGS), interests (N, INTERESTS): codes, as in online_models.post_table.
    known_tags (TAG_CODES,): tags that a post has.
    decayed (N, 3) as of `at` (N,), strength (N,): as in schemas.item_state.
    neighbours: by co-visitation. revisions (N,): how often a row of the post came. sums (N,): zeros, for those who add
    up scores of a few slots and take them out again.
    """

    def __init__(self, capacity: int = 1024, mood_map: MoodMap | None = None) -> None:
        self.size = 0
        self.revision = 0
        self.row_revision = 0
        self.mood_map = mood_map or MoodMap.load()
        self.slots: dict[int, int] = {}
        self.posts = PostRows()
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
        self.neighbours = NeighbourTable(capacity)
        self.sums = np.zeros(capacity)

    def slot(self, post_id: int) -> int:
        """The slot of a post; a new one, not servable, for an id that has none."""
        slot = self.slots.get(post_id)
        return self.slots_of([post_id])[0] if slot is None else slot

    def slots_of(self, post_ids: Sequence[int]) -> list[int]:
        """Of each; those that had none get new ones, in their order."""
        found = [*map(self.slots.get, post_ids)]
        if None not in found:
            return cast(list[int], found)
        new = [post_id for post_id in dict.fromkeys(post_ids) if post_id not in self.slots]
        size = self.size + len(new)
        if size > len(self.ids):
            self._grow(size)
        self.slots.update(zip(new, range(self.size, size), strict=True))
        self.ids[self.size : size] = new
        self.posts.add(len(new))
        self.size = size
        return [self.slots[post_id] for post_id in post_ids]

    def has_row(self, post_id: int) -> bool:
        slot = self.slots.get(post_id)
        return slot is not None and self.posts.encoded(slot) is not None

    def set_row(self, post_id: int, post: Post | None) -> None:
        """A new row of a post; None when it was deleted."""
        if post is None:
            slot = self.slot(post_id)
            self.revision += 1
            self.row_revision += 1
            self.posts.put(slot, None)
            self.revisions[slot] += 1
            self.servable[slot], self.availability[slot] = False, DELETED
        else:
            self.set_rows([post_id], [post], [encode(post)])

    def set_rows(self, ids: Sequence[int], posts: Sequence[Post], rows: Sequence[bytes]) -> None:
        """New rows of distinct posts, as they are and as Redis has them. Many at once: 5 µs a post in place of 35."""
        slots = self.slots_of(ids)
        self.revision += len(slots)
        self.row_revision += len(slots)
        for slot, row in zip(slots, rows, strict=True):
            self.posts.put(slot, row)
        at = np.array(slots)
        self.revisions[at] += 1
        self.servable[at] = servable = [post.servable for post in posts]
        self.availability[at] = SERVABLE
        if not all(servable):
            self.availability[at] = [
                SERVABLE if post.servable else LOCKED if post.locked else NOT_PUBLIC for post in posts
            ]  # fmt: skip
        self.created_at[at] = [post.created_at for post in posts]
        self.author[at] = [author_of(post.author) for post in posts]
        self.moods[at] = moods = self.mood_map.of_many(posts)
        tags, interests = labels_of(posts, moods >= LEADING)
        self.tags[at], self.interests[at] = tags, interests
        self.known_tags[tags[tags >= 0]] = True
        self.category[at] = [self._category(post) for post in posts]
        self.project[at] = [_code(self.project_codes, post.project_code) for post in posts]
        self.written_by[at] = [_code(self.author_codes, post.author) for post in posts]

    def _category(self, post: Post) -> int:
        code = self.category_codes.setdefault(post.category.casefold(), len(self.category_codes))
        if post.category and post.category_id not in self.category_ids:
            self.category_slugs.setdefault(slug(post.category), code)
        if post.category:
            self.category_ids[post.category_id] = code
        return code

    def set_states(self, ids: Sequence[int], states: Sequence[ItemState]) -> None:
        """New counters of distinct posts."""
        at = np.array(self.slots_of(ids))
        self.revision += len(at)
        self.decayed[at] = [state.decayed for state in states]
        self.at[at] = [state.at for state in states]
        self.strength[at] = [state.strength for state in states]

    def set_neighbours(self, post_id: int, ids: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """set_all_neighbours of one post."""
        self.set_all_neighbours([post_id], NeighboursOfMany(np.array([len(ids)]), ids, weights))

    def set_all_neighbours(self, ids: Sequence[int], near: NeighboursOfMany) -> None:
        """Those of distinct posts, at most NEIGHBOURS of each, strongest first.

        Those that are not known yet get a slot of their own, and resolve when their rows arrive.
        """
        slots = self.slots_of(ids)
        self.revision += len(slots)
        self.neighbours.put(slots, self.slots_of(near.ids.tolist()), near.weights, near.counts)

    def known_slots(self, post_ids: Iterable[int]) -> NDArray[np.int64]:
        """Slots of those posts that have one, in their order."""
        return np.array([slot for slot in map(self.slots.get, post_ids) if slot is not None], np.int64)

    def count_posts(self) -> int:
        return int(np.count_nonzero(self.servable[: self.size]))

    def _grow(self, size: int) -> None:
        """Makes every array twice as long at least, so that adding N posts copies each a constant number of times."""
        room = max(size, 2 * len(self.ids))
        for name in (
            "ids", "servable", "availability", "project", "written_by", "moods", "created_at", "category",
            "author", "tags", "interests", "decayed", "at", "strength", "revisions",
        ):  # fmt: skip
            old = getattr(self, name)
            # Zeros that were never written to take no memory.
            new = np.zeros((room, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            if padding := _PADDED.get(name):
                new[len(old) :] = padding
            setattr(self, name, new)
        self.neighbours.make_room(len(self.ids))
        self.sums = np.zeros(len(self.ids))


def slug(name: str) -> str:
    """As in addresses: small letters and digits with hyphens between."""
    return "-".join(_words.findall(name.casefold()))


def _code(codes: dict[str, int], name: str) -> int:
    return codes.setdefault(name.casefold(), len(codes)) if name else -1


_words = re.compile(r"[^\W_]+")
_PADDED = {
    "category": -1, "author": -1, "tags": -1, "interests": -1, "project": -1, "written_by": -1,
    "availability": UNKNOWN,
}  # fmt: skip
