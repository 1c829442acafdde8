"""What the learner publishes for feeds: a record of each post, a vector of each user, and the weights of the blend."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import trending
from .errors import ReelstreamError

WINDOWS = len(trending.WINDOWS)
RATING = 11
"""Numbers that predict a rating, of a user or a post: a bias and a vector (online_models.explicit_ratings)."""
FOLLOWERS = 40
"""Of a post, the strongest: what users go to next. A row of the learner has up to 128; of the value of source `next`, a
logarithm, 20 left .24 of difference between learner and feed, 40 leave .07, 64 leave .02."""


def post_type(width: int) -> np.dtype[np.void]:
    """Of a record: 804 bytes with vectors of 163 numbers, all little-endian.

    vectors: as in online_models.sources.Sources.vectors. total, value, first_at, last_at: of online_models.post_table.
    shown, taken: of online_models.click_through, by half-life. rating: of online_models.explicit_ratings.
    left: how often users went on from the post (online_models.transitions, forward-decayed); followers: to which posts,
    0 for none, and share of `left`, strongest first: a share fits into 2 bytes, whatever the year.
    """
    return np.dtype([
        ("vectors", "<f2", (width,)), ("total", "<f4"), ("value", "<f4"), ("shown", "<f4", (WINDOWS,)),
        ("taken", "<f4", (WINDOWS,)), ("rating", "<f2", (RATING,)), ("first_at", "<f8"), ("last_at", "<f8"),
        ("left", "<f8"), ("followers", "<i8", (FOLLOWERS,)), ("shares", "<f2", (FOLLOWERS,)),
    ])  # fmt: skip


def read_posts(payloads: list[bytes], width: int) -> NDArray[np.void]:
    """Records (n,) of posts. Raises ValueError for payloads of another size."""
    return np.frombuffer(b"".join(payloads), post_type(width))


class Weights(NamedTuple):
    """features: names of the features of a candidate, in order; n of them.

    linear (n,), inner (h, n + 1), outer (h,): as in online_models.blend.BlendWeights.
    tag_share, mean_value, spread: as in online_models.post_columns.PostColumns. mean_rating: 0 to 1.
    outside: of sources that only feeds have, name → weight, ≥ 0 (online_models.outside_sources).
    """

    features: list[str]
    linear: NDArray[np.float32]
    inner: NDArray[np.float32]
    outer: NDArray[np.float32]
    tag_share: NDArray[np.float32]
    mean_value: float
    spread: float
    mean_rating: float = 0.0
    outside: Mapping[str, float] = MappingProxyType({})


class _Weights(msgspec.Struct, array_like=True):
    features: list[str]
    linear: bytes
    inner: bytes
    outer: bytes
    tag_share: bytes
    mean_value: float
    spread: float
    mean_rating: float = 0.0
    outside: dict[str, float] = {}


_encode = msgspec.msgpack.Encoder().encode
_weights = msgspec.msgpack.Decoder(_Weights)


def encode_weights(weights: Weights) -> bytes:
    """24 KB, 16 of them shares of tags."""
    columns = [_packed(column) if isinstance(column, np.ndarray) else column for column in weights[:-1]]
    return _encode([*columns, dict(weights.outside)])


def decode_weights(payload: bytes) -> Weights:
    """Arrays may be written to. Raises ReelstreamError for what encode_weights would not have written."""
    try:
        found = _weights.decode(payload)
        linear, inner, outer, tag_share = (
            np.frombuffer(bytearray(each), "<f4") for each in (found.linear, found.inner, found.outer, found.tag_share)
        )
        inner = inner.reshape(len(outer), len(linear) + 1)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise ReelstreamError(f"the weights of the blend can't be read: {error}") from None
    if len(linear) != len(found.features):
        raise ReelstreamError(f"{len(linear)} weights of the blend for {len(found.features)} features")
    figures = found.mean_value, found.spread, found.mean_rating
    return Weights(found.features, linear, inner, outer, tag_share, *figures, found.outside)


def _packed(column: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(column, "<f4").tobytes()


def encode_user(vector: NDArray[np.floating]) -> bytes:
    """A user's vector (dim,) of online_models.pairwise_mf, and behind it what predicts ratings (RATING,): float16."""
    return np.ascontiguousarray(vector, "<f2").tobytes()


def decode_user(payload: bytes | None, dim: int) -> NDArray[np.float32] | None:
    """The vector (dim,), and behind it (RATING,). None for a user who has none, or one of another width."""
    if payload is None or len(payload) != 2 * (dim + RATING):
        return None
    return np.frombuffer(payload, "<f2").astype(np.float32)
