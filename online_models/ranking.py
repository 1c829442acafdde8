"""What the ranker (batch_models.ranker) reads of candidates and what its answers are worth: what it is trained on and
what a feed asks it with is one code."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.ranking import HEADS, Head

from .post_table import DAY

OUTPUTS = ("come", *HEADS)
"""come: logarithm of how much likelier the user is to come to this post than to another, but for a constant."""
AUTHORS = 4_096
"""Authors are told apart by a hash: of 1,000 one in nine shares a row with another."""
COUNTS = 5
LEAST_WORTH = 0.01


def author_rows(authors: NDArray[np.int32]) -> NDArray[np.int64]:
    """Rows (n,) in a table of AUTHORS + 1 of codes (online_models.post_table); the last is for unknown ones."""
    return np.where(authors < 0, AUTHORS, authors % AUTHORS).astype(np.int64)


def count_features(decayed: NDArray[Any], created_at: NDArray[Any], now: Any) -> NDArray[np.float32]:
    """(n, COUNTS): logarithms of the sums of an hour, a day and a week, decayed (n, 3); age, and whether it is known.

    created_at (n,): seconds since 1970, 0 unknown. now: the same, one or (n,).
    """
    found = np.zeros((len(created_at), COUNTS), np.float32)
    found[:, :3] = np.log1p(decayed) / 4.0
    dated = created_at > 0
    age = np.log1p(np.maximum(now - created_at, 0.0) / DAY) / 5.0 - 1.0
    found[:, 3], found[:, 4] = np.where(dated, age, 0.0), dated
    return found


def shares_of(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 4), 0 to 1: what the heads expect, of outputs (n, 5) that are logits."""
    return np.asarray(1.0 / (1.0 + np.exp(-outputs[:, 1:])), np.float32)


def values_of(outputs: NDArray[np.float32], weights: Mapping[Head, float]) -> NDArray[np.float32]:
    """(n,): come + ln Σ_h weight_h · share_h, the logarithm of what showing a post is worth: how likely the user is to
    come to it, times what follows then. The sum is LEAST_WORTH at least."""
    worth = shares_of(outputs) @ np.array([weights[head] for head in HEADS], np.float32)
    return np.asarray(outputs[:, 0] + np.log(np.maximum(worth, LEAST_WORTH)), np.float32)
