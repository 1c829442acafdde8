"""Asymmetric factors: the user is a decayed sum of the vectors of their last posts (online_models.softmax_factors).

There is no vector of a user, so that one event is enough, for a guest as well, and the sum is made at request time.
Recall@10 on ML-100K: .195 with the last 10 posts at .8, .20 with the last 50 at .95. Both serve, as SequenceFactors and
with `long_memory`: what a user does now, and what they like.
"""

from typing import NamedTuple

from .softmax_factors import SoftmaxFactors


class Memory(NamedTuple):
    """How many of the last posts are summed, and what each counts against the one after it."""

    length: int
    decay: float


SHORT, LONG = Memory(10, 0.8), Memory(50, 0.95)
"""What a user does now; what they like: the newest of 50 posts counts little more than the oldest."""


class SequenceFactors(SoftmaxFactors):
    """SoftmaxFactors of sums; the defaults are those of what a user does now.

    Examples
    --------
    >>> model = SequenceFactors(capacity=100)
    >>> for turn in range(400):
    ...     model.learn_one(1 + turn % 4, context=[1 + (turn - 1) % 4])
    >>> model.rank([2])[0]
    3
    """

    def __init__(
        self, length: int = SHORT.length, decay: float = SHORT.decay, rate: float = 0.1, capacity: int = 100_000,
        dim: int = 32, seed: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(length, decay, rate, 0, capacity, dim, seed)


def long_memory(capacity: int = 100_000, dim: int = 32, seed: int = 2) -> SequenceFactors:
    """SequenceFactors of LONG."""
    return SequenceFactors(*LONG, 0.1, capacity, dim, seed)
