"""What a request knows of posts, in arrays by slot: sums of what happened to them, and what their rows say."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.parameters import MOODS
from schemas.posts import Post

from .decayed_counters import HALF_LIVES
from .moods import MoodMap
from .post_columns import PostColumns
from .remembered import Remembered

TAGS = 8
"""Tags of a post that count."""
INTERESTS = 12
"""Of a post, what a taste goes by: category, topic, moods and tags."""
TAG_CODES = 4_096
"""Tags and categories are told apart by a hash: two of 100 share a code once in 40 catalogues each, and do no harm."""
LEADING = 0.4
"""Share of a post from which on a mood is one of its interests."""
AUTHOR_CODES = 1 << 30
DAY = 86_400.0
_FAR = 200.0
"""Half-lives after which a landmark moves: 2^200 is well within a double."""


class PostTable:
    """Columns (capacity,) by slot; those of slots that were never given are zero.

    popularity (3, capacity): sums of strengths, decaying forward to the landmark of each half-life (online_models.
    decayed_counters). total: how many users came to the post, and value: how much they thought of it, 0 to 1 each.
    first_at, last_at: seconds since 1970 of its first and last event. known: there was one.
    created_at: seconds since 1970, 0 unknown. author: code, −1 unknown. tags (capacity, TAGS): codes, −1 for none.
    interests (capacity, INTERESTS): codes, −1 for none. tag_share (TAG_CODES,): how often events had that tag.
    value_sums (2,): value and number of all events.
    spread: seconds, how far the dates of posts lie from one another.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.popularity = np.zeros((len(HALF_LIVES), capacity))
        self.landmarks = np.zeros(len(HALF_LIVES))
        self.total, self.value = np.zeros(capacity, np.float32), np.zeros(capacity, np.float32)
        self.first_at, self.last_at = np.zeros(capacity), np.zeros(capacity)
        self.known = np.zeros(capacity, np.bool_)
        self.created_at = np.zeros(capacity)
        self.author = np.full(capacity, -1, np.int32)
        self.tags = np.full((capacity, TAGS), -1, np.int16)
        self.interests = np.full((capacity, INTERESTS), -1, np.int16)
        self.mood_map = MoodMap.load()
        self.tag_share = np.full(TAG_CODES, 0.01, np.float32)
        self.value_sums = np.array([0.5, 1.0])
        self._dates = np.zeros(3)
        self._newest = 0.0

    def start(self, slot: int) -> None:
        """A post gets this slot: whatever was in it is forgotten."""
        for column in (self.total, self.value, self.first_at, self.last_at, self.created_at):
            column[slot] = 0
        self.popularity[:, slot], self.known[slot] = 0.0, False
        self.author[slot], self.tags[slot], self.interests[slot] = -1, -1, -1

    def describe(self, slot: int, post: Post) -> None:
        """What the row of a post says."""
        self.created_at[slot] = post.created_at
        self.author[slot], self.tags[slot] = codes_of(post)
        self.interests[slot] = interests_of(post, (self.mood_map.of(post) >= LEADING).tolist())

    def learn(self, slot: int, at: float, weight: float, value: float, new: bool) -> None:
        """A user came to a post, at event time `at`, with a strength ≥ 0; new: for the first time."""
        for number, half_life in enumerate(HALF_LIVES):
            age = (at - self.landmarks[number]) / half_life
            if age > _FAR:
                self.popularity[number] *= 2.0**-age
                self.landmarks[number], age = at, 0.0
            self.popularity[number, slot] += weight * 2.0**age if age > -1000 else 0.0
        self._newest = max(self._newest, at)
        if not self.known[slot]:
            self.known[slot], self.first_at[slot] = True, at
        self.last_at[slot] = max(self.last_at[slot], at)
        if new:
            self.total[slot] += 1
            self.value[slot] += value
            self.value_sums += value, 1.0
            codes = self.tags[slot]
            self.tag_share[codes[codes >= 0]] += 1
            if (created := self.created_at[slot]) > 0:
                self._dates += 1.0, created, created * created

    @property
    def mean_value(self) -> float:
        """Of all events."""
        return float(self.value_sums[0] / self.value_sums[1])

    @property
    def spread(self) -> float:
        """Standard deviation, at least a day."""
        count, dates, squares = self._dates.tolist()
        # Dates that are all the same leave a difference of rounding, which may be below zero.
        variance = squares / count - (dates / count) ** 2 if count else 0.0
        return float(max(variance, DAY**2) ** 0.5)

    def columns(self, now: float) -> PostColumns:
        """Views of all slots, as features take them."""
        return PostColumns(
            self.popularity, self.decays(now), self.total, self.value, self.first_at, self.last_at, self.created_at,
            self.author, self.tags, self.tag_share, self.mean_value, self.spread,
        )  # fmt: skip

    def decays(self, now: float) -> NDArray[np.float64]:
        """(3,): what `popularity` is multiplied with to be that of `now`, or of the newest event when that is later: a
        partition that is months behind another would make hourly sums of 2^4000 of them."""
        return np.asarray(np.exp2((self.landmarks - max(now, self._newest)) / np.array(HALF_LIVES)))

    def state(self, size: int) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps of the first `size` slots."""
        kept = {name: getattr(self, name)[:size].copy() for name in _COLUMNS}
        kept["popularity"] = self.popularity[:, :size].copy()
        return kept | {name: getattr(self, name).copy() for name in ("landmarks", "tag_share", "value_sums", "_dates")}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        for name in _COLUMNS:
            getattr(self, name)[: len(state[name])] = state[name]
        self._newest = float(self.last_at.max())
        self.popularity[:, : state["popularity"].shape[1]] = state["popularity"]
        for name in ("landmarks", "tag_share", "value_sums", "_dates"):
            getattr(self, name)[:] = state[name]


def codes_of(post: Post) -> tuple[int, list[int]]:
    """`codes` of a post."""
    return codes(post.author, post.category, post.tags)


def codes(author: str, category: str, tags: Sequence[str]) -> tuple[int, list[int]]:
    """Code of the author, −1 unknown, and codes (TAGS,) of the category and the tags, −1 for none."""
    found = [*map(code_of, dict.fromkeys((category, *tags) if category else tags))][:TAGS]
    return author_of(author), found + _NONE[len(found) : TAGS]


def author_of(name: str) -> int:
    """Code of an author, −1 unknown."""
    return crc32(name.encode()) % AUTHOR_CODES if name else -1


def interests_of(post: Post, moods: Sequence[bool]) -> list[int]:
    """Codes (INTERESTS,) of what a post is about, −1 for none: its category and topic, its leading moods and its tags.

    moods (5,): which of schemas.parameters.MOODS make up at least LEADING of it.
    """
    named = [post.category, f"topic {post.topic}"] if post.topic else [post.category]
    if True in moods:
        named += [name for name, leads in zip(_MOOD_NAMES, moods, strict=True) if leads]
    found = [*map(code_of, filter(None, dict.fromkeys([*named, *post.tags])))][:INTERESTS]
    return found + _NONE[len(found) :]


def labels_of(
    posts: Sequence[Post], moods: NDArray[np.bool_]
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:  # fmt: skip
    """Codes of tags (n, TAGS), as of `codes`, and of interests (n, INTERESTS) of many posts, whose leading moods are
    `moods` (n, 5): 1.7 µs a post, where both one by one take 3."""
    tags: list[list[int]] = []
    interests: list[list[int]] = []
    leading = np.asarray(moods.any(axis=1))
    for post, told in zip(posts, leading.tolist(), strict=True):
        names = dict.fromkeys((post.category, *post.tags) if post.category else post.tags)
        found = [*map(code_of, names)]
        tags.append(found[:TAGS])
        if told or post.topic or "" in names:
            found = interests_of(post, moods[len(interests)].tolist())
        interests.append(found[:INTERESTS])
    return _padded(tags, TAGS), _padded(interests, INTERESTS)


def _padded(rows: list[list[int]], width: int) -> NDArray[np.int16]:
    """(n, width), −1 behind each of at most so many."""
    counts = np.fromiter(map(len, rows), np.intp, len(rows))
    found = np.full((len(rows), width), -1, np.int16)
    found[np.arange(width) < counts[:, None]] = np.fromiter(chain.from_iterable(rows), np.int16, int(counts.sum()))
    return found


def _code(name: str) -> int:
    return crc32(name.casefold().encode()) % TAG_CODES


code_of = Remembered(_code).__getitem__
"""Of the name of a tag, a category, a topic or a mood: 0 to TAG_CODES − 1."""
_NONE = [-1] * INTERESTS
_MOOD_NAMES = [f"mood {mood}" for mood in MOODS]
_COLUMNS = ("total", "value", "first_at", "last_at", "known", "created_at", "author", "tags", "interests")
