"""The mood of a post, from its words, through a mapping that a reader can edit: online_models/moods.toml."""

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SettingsError
from schemas.parameters import MOODS
from schemas.posts import Post

from .remembered import Remembered

__all__ = ["MAPPING", "MOODS", "MoodMap"]

MAPPING = Path(__file__).with_name("moods.toml")
_SECTIONS = ("summary", "tag", "category", "title")
_word = re.compile(r"[\w'/-]+")
_LONGEST = 500
"""Characters of a text that count."""
_BETWEEN = bytes(byte if _word.match(chr(byte)) else 32 for byte in range(128)) + bytes(128)
"""What lies between words of ASCII made a space."""


@dataclass
class MoodMap:
    """words: word or phrase → place of its mood in MOODS. weights: how much a word says by where it stands.

    hours (24,): place of the mood that cold-start feeds lean to in each hour, UTC.
    """

    words: dict[str, int]
    weights: dict[str, float]
    hours: list[int]

    @classmethod
    @cache
    def load(cls, path: Path = MAPPING) -> "MoodMap":
        """Raises SettingsError naming what is wrong in the file, and what is allowed."""
        try:
            content = tomllib.loads(path.read_text())
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{path.name} can't be read: {error}") from None
        words: dict[str, int] = {}
        for place, mood in enumerate(MOODS):
            for word in content.get(mood, {}).get("words", []):
                if words.setdefault(str(word), place) != place:
                    raise SettingsError(f"{path.name}: {word!r} stands under {MOODS[words[word]]} and {mood}")
        weights = content.get("weights", {})
        if not all(isinstance(weights.get(section), int | float) for section in _SECTIONS):
            raise SettingsError(f"{path.name}: [weights] needs a number for each of {', '.join(_SECTIONS)}")
        starts = sorted((int(hour), str(mood)) for hour, mood in content.get("hours", {}).items())
        if not starts or any(mood not in MOODS or not 0 <= hour <= 23 for hour, mood in starts):
            raise SettingsError(f"{path.name}: [hours] maps hours from 0 to 23 to one of {', '.join(MOODS)}")
        by_hour = [next((m for start, m in reversed(starts) if start <= hour), starts[-1][1]) for hour in range(24)]
        return cls(words, {name: float(weights[name]) for name in _SECTIONS}, [MOODS.index(mood) for mood in by_hour])

    def of(self, post: Post) -> NDArray[np.float32]:
        """(5,): how much of what is found speaks for each mood, summing to 1; zeros when nothing tells."""
        found: NDArray[np.float32] = self.of_many([post])[0]
        return found

    def of_many(self, posts: Sequence[Post]) -> NDArray[np.float32]:
        """(n, 5), 1.2 µs a post that tells nothing, 3 one that does."""
        found = np.zeros((len(posts), len(MOODS)), np.float32)
        for row, post in enumerate(posts):
            if votes := self._votes(post):
                found[row] = votes
        total = found.sum(axis=1, keepdims=True)
        np.divide(found, total, out=found, where=total > 0)
        return found

    def _votes(self, post: Post) -> list[float] | None:
        """None when nothing tells, as of most posts."""
        if post.mood and post.mood in MOODS:
            return [float(mood == post.mood) for mood in MOODS]
        places, title = self._places, self._spoken(post.title)
        if not (title or any(map(places, (*post.words, *post.tags, post.category, post.topic)))):
            return None
        votes, weights = [0.0] * len(MOODS), self.weights
        for section, texts in (
            ("summary", post.words), ("tag", post.tags), ("category", (post.category, post.topic)),
        ):  # fmt: skip
            for said in map(places, texts):
                for place in said:
                    votes[place] += weights[section]
        for place in title:
            votes[place] += weights["title"]
        return votes

    def _spoken(self, text: str) -> tuple[int, ...]:
        """Places of the moods that a text speaks for: of the whole of it, or else of each of its words."""
        whole = text.casefold()
        if (place := self.words.get(whole)) is not None:
            return (place,)
        if len(whole) > _LONGEST:
            whole = whole[:_LONGEST]
        # Half a microsecond for most titles, in which no word is found, where the expression takes 1.3.
        if whole.isascii() and self._encoded.isdisjoint(whole.encode().translate(_BETWEEN).split()):
            return ()
        return tuple([place for word in _word.findall(whole) if (place := self.words.get(word)) is not None])

    @cached_property
    def _encoded(self) -> frozenset[bytes]:
        return frozenset(map(str.encode, self.words))

    @cached_property
    def _places(self) -> Callable[[str], tuple[int, ...]]:
        """Places of the moods of a text that other posts have as well."""
        return Remembered(self._spoken).__getitem__
