"""Texts and names of posts and users as numbers: what the content model reads, hashed alike in training and in feeds.

Character n-grams find words that are spelt, bent or joined otherwise (Bojanowski et al., fastText, TACL 2017), and the
hashing trick needs no vocabulary (Weinberger et al., ICML 2009): a word that came after the training has its place.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.posts import Post
from schemas.users import User

BUCKETS = 1 << 15
"""Of the tokens' table; 0 is filling. ML-100K has 16,000 distinct tokens."""
TEXT, LABELS, NAMES, PROFILE = 192, 64, 4, 32
"""Most tokens of a title, of tags and keywords, of what there is one of, and of a profile."""
_WORDS = 40
"""Most words of a title: it may be a whole caption, and what is left of TEXT is for n-grams."""
_GRAMS = (3, 4, 5)
_MOST_CHARACTERS = 400
_KINDS = ("text", "label", "category", "topic", "author", "length", "profile")
_SALT = {kind: crc32(kind.encode()) for kind in _KINDS}
"""The same word as a category and as a tag are two tokens."""

Tokens = NDArray[np.uint16]


class PostTokens(NamedTuple):
    """Of n posts; 0 where there is none.

    text (n, TEXT): words, pairs of words and character n-grams of the title. labels (n, LABELS): tags, then emotions
    and keywords of the summary. names (n, NAMES): category, topic, author, and the length in powers of two.
    """

    text: Tokens
    labels: Tokens
    names: Tokens

    def of(self, posts: NDArray[np.int64]) -> "PostTokens":
        """Those of some posts (k,), by position."""
        return PostTokens(self.text[posts], self.labels[posts], self.names[posts])

    @property
    def described(self) -> NDArray[np.bool_]:
        """(n,): of which posts anything is known."""
        return np.asarray(self.text.any(axis=1) | self.labels.any(axis=1) | self.names.any(axis=1), np.bool_)

    def rows(self, rows: Any) -> "PostTokens":
        """Those of the posts named, by a slice, a mask or positions."""
        return PostTokens(*(column[rows] for column in self))


def post_tokens(posts: Sequence[Post | None]) -> PostTokens:
    """All zeros for None."""
    found = PostTokens(*(np.zeros((len(posts), width), np.uint16) for width in (TEXT, LABELS, NAMES)))
    for row, post in enumerate(posts):
        if post is None:
            continue
        _fill(found.text[row], _text(post.title))
        _fill(found.labels[row], _whole("label", [*post.tags, *post.words]))
        length = str(round(math.log2(post.duration_ms))) if post.duration_ms >= 1 else ""
        names = ("category", post.category), ("topic", post.topic), ("author", post.author), ("length", length)
        for place, (kind, name) in enumerate(names):
            _fill(found.names[row, place : place + 1], _whole(kind, [name]))
    return found


def user_tokens(users: Sequence[User | None]) -> Tokens:
    """(n, PROFILE): the role, what attributes say in one word or number, and words of the bio; zeros for None."""
    found = np.zeros((len(users), PROFILE), np.uint16)
    for row, user in enumerate(users):
        if user is not None:
            attributes = [f"{name} {value}" for name, value in user.attributes.items() if isinstance(value, str | int)]
            _fill(found[row], _whole("profile", [user.role or "", *attributes, *_plain(user.bio or "").split()]))
    return found


def _text(title: str) -> list[int]:
    """Words first, then pairs of neighbours, then n-grams; a space at both ends tells where a word begins."""
    plain, salt = _plain(title), _SALT["text"]
    if not plain:
        return []
    words = plain.split()[:_WORDS]
    whole = [*words, *(f"{word} {after}" for word, after in pairwise(words))]
    padded = f" {plain} "
    grams = [padded[at : at + length] for length in _GRAMS for at in range(len(padded) - length + 1)]
    return [_token(text, salt) for text in [*(f"<{each}>" for each in whole), *grams][:TEXT]]


def _whole(kind: str, names: Iterable[str]) -> list[int]:
    """Each name as one token."""
    plain = dict.fromkeys(_plain(name) for name in names)
    return [_token(name, _SALT[kind]) for name in plain if name]


def _plain(text: str) -> str:
    """Small letters and digits, and one space for whatever lies between."""
    return " ".join("".join(each if each.isalnum() else " " for each in text[:_MOST_CHARACTERS].casefold()).split())


def _token(text: str, salt: int) -> int:
    return 1 + crc32(text.encode(errors="surrogatepass"), salt) % (BUCKETS - 1)


def _fill(row: Tokens, tokens: list[int]) -> None:
    count = min(len(row), len(tokens))
    row[:count] = tokens[:count]
