"""What the learner tells feeds, by slot of the catalogue: vectors and counts of posts, and the weights of the blend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from online_models.blend import START, BlendWeights
from online_models.click_through import WEEK
from online_models.features import FEATURES, GATES
from online_models.packed_vectors import PackedVectors
from online_models.post_table import TAG_CODES
from schemas import learnt
from schemas.errors import ReelstreamError
from schemas.learnt import FOLLOWERS, RATING, WINDOWS, Weights

from .catalogue import Catalogue
from .learnt_ease import LearntEase

_SUMS = 3
"""Numbers of a record's vectors that are no part of one of its five: a bias of each factor model."""


class LearntPosts:
    """Records of posts by slot of one catalogue: arrays (M, …), as long as its own; zeros where `known` is False.

    inputs: of sequence and taste_factors, (M, dim) each. outputs, bias: of sequence, taste_factors and factors, (M,
    dim) and (M,) each; packed: both, for products with all of those that are known. rows (M,): the slot itself where
    known, −1 elsewhere. total, value, first_at, last_at (M,): as in online_models.post_table. shown, taken (M,
    WINDOWS): as in online_models.click_through, by half-life, also of posts that nobody has met. left (M,), followers
    (M, FOLLOWERS), slots, padded with −1, and follower_weights: as in online_models.transitions.
    """

    def __init__(self, catalogue: Catalogue, width: int) -> None:
        self.catalogue = catalogue
        self.width = width
        self.dim = dim = (width - _SUMS) // 5
        self.known = np.zeros(0, np.bool_)
        self.rows = np.zeros(0, np.int32)
        self.packed = [PackedVectors(dim) for _ in range(3)]
        self.inputs = [np.zeros((0, dim), np.float32) for _ in range(2)]
        self.outputs = [np.zeros((0, dim), np.float32) for _ in range(3)]
        self.bias = [np.zeros(0, np.float32) for _ in range(3)]
        self.total, self.value = np.zeros(0, np.float32), np.zeros(0, np.float32)
        self.shown, self.taken = np.zeros((0, WINDOWS), np.float32), np.zeros((0, WINDOWS), np.float32)
        self.rating = np.zeros((0, RATING), np.float32)
        self.first_at, self.last_at, self.left = np.zeros(0), np.zeros(0), np.zeros(0)
        self.followers = np.zeros((0, FOLLOWERS), np.int32)
        self.follower_weights = np.zeros((0, FOLLOWERS))
        self.follower_counts = np.zeros(0, np.int32)
        self.make_room()

    def set(self, ids: Sequence[int], payloads: Sequence[bytes | None]) -> None:
        """Takes records over; posts with None, or with another's, have none. 2 µs a post."""
        known, size = self.catalogue.slots, learnt.post_type(self.width).itemsize
        there: list[int] = []
        gone: list[int] = []
        values: list[bytes] = []
        for post_id, payload in zip(ids, payloads, strict=True):
            if payload is not None and len(payload) == size:
                there.append(post_id)
                values.append(payload)
            elif post_id in known:
                gone.append(known[post_id])
        slots = np.array(self.catalogue.slots_of(there), np.int64)
        self.make_room()
        if gone:
            nothing = np.zeros(len(gone), learnt.post_type(self.width))
            self._put(np.array(gone), nothing)
        if there:
            self._put(slots, learnt.read_posts(values, self.width))

    def moved_to(self, catalogue: Catalogue) -> "LearntPosts":
        """The same in the slots of another catalogue."""
        old, had = self.catalogue, np.flatnonzero(self.known | (self.shown[:, WEEK] > 0))
        moved = LearntPosts(catalogue, self.width)
        slots = [catalogue.slot(post_id) for post_id in old.ids[had].tolist()]
        moved.make_room()
        for mine, theirs in zip(self._arrays(), moved._arrays(), strict=True):
            theirs[slots] = mine[had]
        moved._pack(np.array(slots, np.int64))
        ids = np.where(self.followers[had] >= 0, old.ids[self.followers[had]], 0)
        moved.followers[slots] = self._slots_of(ids, catalogue)
        return moved

    def make_room(self) -> None:
        """As many rows as the catalogue has, which grows by doubling."""
        missing = len(self.catalogue.ids) - len(self.known)
        if missing <= 0:
            return
        for holder in (self.inputs, self.outputs, self.bias):
            holder[:] = [_longer(array, missing) for array in holder]
        for name in _COLUMNS:
            setattr(self, name, _longer(getattr(self, name), missing))
        self.rows = np.append(self.rows, np.full(missing, -1, np.int32))

    def _arrays(self) -> list[NDArray[np.generic]]:
        return [*self.inputs, *self.outputs, *self.bias, *(getattr(self, name) for name in _COLUMNS)]

    def _put(self, slots: NDArray[np.int64], records: NDArray[np.void]) -> None:
        at, vectors, dim = 0, records["vectors"].astype(np.float32), self.dim
        for part, width in (
            (self.inputs[0], dim), (self.outputs[0], dim), (self.bias[0], 1), (self.inputs[1], dim),
            (self.outputs[1], dim), (self.bias[1], 1), (self.outputs[2], dim), (self.bias[2], 1),
        ):  # fmt: skip
            part[slots] = vectors[:, at : at + width].reshape(len(slots), *part.shape[1:])
            at += width
        for name in ("total", "value", "shown", "taken", "rating", "first_at", "last_at", "left"):
            getattr(self, name)[slots] = records[name]
        self.followers[slots] = self._slots_of(records["followers"], self.catalogue)
        self.follower_weights[slots] = records["shares"] * records["left"][:, None]
        self.follower_counts[slots] = np.count_nonzero(records["followers"], axis=1)
        self.known[slots] = records["first_at"] > 0
        self._pack(slots)

    def _pack(self, slots: NDArray[np.int64]) -> None:
        """Makes codes of what came of slots (n,)."""
        known = self.known[slots]
        self.rows[slots] = np.where(known, slots, -1)
        for packed, outputs, bias in zip(self.packed, self.outputs, self.bias, strict=True):
            packed.put(slots[known], outputs[slots[known]], bias[slots[known]])
            packed.drop(slots[~known])

    @staticmethod
    def _slots_of(ids: NDArray[np.int64], catalogue: Catalogue) -> NDArray[np.int32]:
        """Of posts that the catalogue knows, −1 for others, and for 0, of which most rows have more than of posts."""
        get, slots, there = catalogue.slots.get, np.full(ids.shape, -1, np.int32), ids > 0
        slots[there] = [get(post_id, -1) for post_id in ids[there].tolist()]
        return slots


_COLUMNS = (
    "known", "total", "value", "shown", "taken", "rating", "first_at", "last_at", "left", "followers",
    "follower_weights", "follower_counts",
)  # fmt: skip


def _longer(array: NDArray[Any], missing: int) -> NDArray[Any]:
    """With zeros behind, which take no memory before they are written to."""
    longer = np.zeros((len(array) + missing, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


@dataclass(frozen=True)
class Learnt:
    """What a request takes of the learner. version: of the publication. posts: changed in place between requests. ease:
    None before the learner has seen enough for it."""

    version: int
    posts: LearntPosts
    weights: Weights
    ease: LearntEase | None = None

    @property
    def blend(self) -> BlendWeights:
        return BlendWeights(self.weights.linear, self.weights.inner, self.weights.outer, GATES)

    def trust(self, source: str) -> float:
        """How much a source counts that the learner does not have: START while clicks have taught nothing of it."""
        return self.weights.outside.get(source, START)


def read_weights(payload: bytes) -> Weights:
    """Raises ReelstreamError for weights of features that this version does not have."""
    weights = learnt.decode_weights(payload)
    if weights.features != list(FEATURES) or len(weights.tag_share) != TAG_CODES:
        raise ReelstreamError("the blend was learnt with other features: run the same version of learner and API")
    return weights
