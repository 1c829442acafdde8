"""What stage 2 keeps of a post, as two Redis values: its counters and its neighbours."""

import math
import struct
from array import array
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import ReelstreamError
from .events import INTERACTION_TYPES

FORMAT = 2
NEIGHBOURS_FORMAT = 2
NARROW_IDS = 1 << 32
SINGLE_SMALLEST = 2.0**-91
SINGLE_LARGEST = float(np.finfo(np.float32).max)
"""Between these the strongest weight of a row is kept in single precision without scaling."""


class ItemState(msgspec.Struct):
    """The counters of a post.

    counts: type code → interactions of that type that stand (taken-back ones are subtracted), exact.
    decayed: one decayed sum of strengths for each half-life of online_models.decayed_counters, as of `at`.
    at: event time of the newest interaction, seconds since 1970.
    strength: the forward-decayed sum that normalises co-visitation (online_models.co_visitation).
    category: of the newest row of the post; empty when unknown.
    """

    counts: dict[int, int] = msgspec.field(default_factory=dict)
    decayed: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0, 0.0])
    at: float = 0.0
    strength: float = 0.0
    category: str = ""
    known: bool = False

    def counts_by_type(self) -> dict[str, int]:
        """`{"view": n, "like": n, …}`: every type that was ever counted, by name."""
        return {INTERACTION_TYPES[code]: count for code, count in sorted(self.counts.items())}

    def encode(self) -> bytes:
        return _encoder.encode((FORMAT, self.counts, self.decayed, self.at, self.strength, self.category, self.known))

    @classmethod
    def decode(cls, payload: bytes | None) -> "ItemState":
        """None is a post nobody has touched. Raises ReelstreamError for a format of another version."""
        if payload is None:
            return cls()
        version, counts, decayed, at, strength, category, known = _decoder.decode(payload)
        if version != FORMAT:
            raise ReelstreamError(f"item state is of format {version}, not {FORMAT}: run `reelstream rebuild`")
        return cls(counts, decayed, at, strength, category, known)


class Neighbours(msgspec.Struct):
    """Co-visitation weights of one post, forward-decayed to a fixed landmark (online_models.co_visitation)."""

    weights: dict[int, float] = msgspec.field(default_factory=dict)

    def encode(self) -> bytes:
        """8 bytes a neighbour: the id, and the weight in single precision, over a power of two that the row shares.

        The power is 0 as long as single precision holds the weights as they are, which it does from 2023 to 2039 with
        the landmark of 2030: 3 µs a row of 100. Other rows are scaled, 10 µs. Ids above 2^32 take 8 bytes each.
        """
        weights = self.weights
        count, power, wide = len(weights), 0, False
        try:
            packed = _row(count, "I").pack(*weights, *weights.values())
        except struct.error:
            packed, wide = b"", True
        except OverflowError:
            packed = b""
        if not packed[4 * count + 3 :: 4].strip(_TINY):
            power = math.frexp(max(weights.values(), default=0.0))[1]
            scaled = np.ldexp(np.array([*weights.values()]), -power).astype("<f4")
            packed = array("Q" if wide else "I", [*weights]).tobytes() + scaled.tobytes()
        return _HEADER.pack(NEIGHBOURS_FORMAT, wide, power, count) + packed

    @classmethod
    def decode(cls, payload: bytes | None) -> "Neighbours":
        """None is a post without neighbours. Raises ReelstreamError for another format, or half a row."""
        ids, weights = cls.columns(payload)
        return cls(dict(zip(ids.tolist(), weights.tolist(), strict=True)))

    @staticmethod
    def columns(payload: bytes | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Ids and weights of an encoded row. Raises ReelstreamError as decode does."""
        if payload is None:
            return np.empty(0, np.int64), np.empty(0)
        ids, power, count = _read_header(payload)
        posts = np.frombuffer(payload, f"<u{8 if ids == 'Q' else 4}", count, _HEADER.size)
        weights = np.frombuffer(payload, "<f4", count, _HEADER.size + posts.nbytes)
        return posts.astype(np.int64), np.ldexp(weights.astype(np.float64), power)

    @classmethod
    def strongest(cls, payload: bytes | None, most: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Ids and weights of the `most` strongest in an encoded row, strongest first.

        Raises ReelstreamError as decode does.
        """
        ids, weights = cls.columns(payload)
        order = (-weights).argsort(kind="stable")[:most]
        return ids[order], weights[order]


@cache
def plain_header(count: int) -> bytes:
    """What goes before a row of ids in 4 bytes and weights in single precision as they are: Neighbours in short.

    Ids have to be below NARROW_IDS, and the largest weight between SINGLE_SMALLEST and SINGLE_LARGEST.
    """
    return _HEADER.pack(NEIGHBOURS_FORMAT, False, 0, count)


@cache
def _row(count: int, ids: str) -> struct.Struct:
    return struct.Struct(f"<{count}{ids}{count}f")


def _read_header(payload: bytes) -> tuple[str, int, int]:
    """Type of the ids, power, and number of neighbours."""
    if payload[:1] != _FORMAT_BYTE:
        raise ReelstreamError(f"neighbours are not of format {NEIGHBOURS_FORMAT}: run `reelstream rebuild`")
    if len(payload) >= _HEADER.size:
        _, wide, power, count = _HEADER.unpack_from(payload)
        if len(payload) == _HEADER.size + count * (12 if wide else 8):
            return "Q" if wide else "I", power, count
    raise ReelstreamError("neighbours are cut short: run `reelstream rebuild`")


_HEADER = struct.Struct("<B?hH")
_FORMAT_BYTE = bytes([NEIGHBOURS_FORMAT])
_TINY = bytes(range(18))
"""Highest bytes of single-precision numbers below SINGLE_SMALLEST: a row of nothing larger might lose some of it."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, dict[int, int], list[float], float, float, str, bool])
