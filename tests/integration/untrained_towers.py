"""Towers that learnt nothing, made without TensorFlow: alike is what shares tokens, a user is the mean of the past."""

import numpy as np
from numpy.typing import NDArray

from batch_models.content_export import WIDTH, TowerWeights, exported
from online_models.content_tokens import BUCKETS, NAMES

HIDDEN = 64


def untrained(dim: int, seed: int) -> bytes:
    """A graph as content_export makes it."""
    draw = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return draw.normal(size=shape).astype(np.float32)

    zeros = np.zeros(dim, np.float32)
    return exported(
        TowerWeights(
            normal(BUCKETS, WIDTH), (normal((2 + NAMES) * WIDTH, HIDDEN), normal(HIDDEN)), (normal(HIDDEN, dim), zeros),
            (normal(dim + WIDTH, HIDDEN), normal(HIDDEN)), (np.zeros((HIDDEN, dim), np.float32), zeros), 1.0,
        )
    )  # fmt: skip
