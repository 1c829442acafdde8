"""What stage 2 keeps of a post, as two Redis values: its counters and its neighbours."""

import math
import struct
from array import array
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

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
        packed = packed_neighbours(payload)
        ids = np.frombuffer(packed.ids, f"<u{packed.id_bytes}").astype(np.int64)
        return ids, np.ldexp(np.frombuffer(packed.weights, "<f4").astype(np.float64), packed.power)


class PackedNeighbours(NamedTuple):
    """An encoded row of so many, taken apart: ids of id_bytes each, weights in single precision over 2^power."""

    length: int
    power: int
    id_bytes: int
    ids: bytes
    weights: bytes


class NeighboursOfMany(NamedTuple):
    """Neighbours of n posts: counts (n,), how many of each; of all, one after the other, ids (m,) and weights (m,)."""

    counts: NDArray[np.int64]
    ids: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def strongest(cls, rows: Sequence[PackedNeighbours], most: int) -> "NeighboursOfMany":
        """The `most` strongest of each row, strongest first, equals in their order: 2 µs a row of 30."""
        counts = np.array([row.length for row in rows], np.int64)
        if len({row.id_bytes for row in rows}) == 1:
            ids = np.frombuffer(b"".join([row.ids for row in rows]), f"<u{rows[0].id_bytes}").astype(np.int64)
        else:
            ids = np.concatenate([np.frombuffer(row.ids, f"<u{row.id_bytes}").astype(np.int64) for row in rows])
        weights = np.frombuffer(b"".join([row.weights for row in rows]), "<f4").astype(np.float64)
        weights = np.ldexp(weights, np.repeat([row.power for row in rows], counts))
        columns = np.arange(counts.max(initial=0))
        there = columns < counts[:, None]
        of_ids, of_weights = np.zeros(there.shape, np.int64), np.full(there.shape, -np.inf)
        of_ids[there], of_weights[there] = ids, weights
        order = (-of_weights).argsort(axis=1, kind="stable")[:, :most]
        counts = np.minimum(counts, most)
        there = columns[:most] < counts[:, None]
        of_ids, of_weights = (np.take_along_axis(each, order, axis=1) for each in (of_ids, of_weights))
        return cls(counts, of_ids[there], of_weights[there])


@cache
def plain_header(count: int) -> bytes:
    """What goes before a row of ids in 4 bytes and weights in single precision as they are: Neighbours in short.

    Ids have to be below NARROW_IDS, and the largest weight between SINGLE_SMALLEST and SINGLE_LARGEST.
    """
    return _HEADER.pack(NEIGHBOURS_FORMAT, False, 0, count)


@cache
def _row(count: int, ids: str) -> struct.Struct:
    return struct.Struct(f"<{count}{ids}{count}f")


def packed_neighbours(payload: bytes | None) -> PackedNeighbours:
    """None is a post without neighbours. Raises ReelstreamError for another format, or half a row."""
    if payload is None:
        return _NO_NEIGHBOURS
    if payload[:1] != _FORMAT_BYTE:
        raise ReelstreamError(f"neighbours are not of format {NEIGHBOURS_FORMAT}: run `reelstream rebuild`")
    if len(payload) >= _HEADER.size:
        _, wide, power, count = _HEADER.unpack_from(payload)
        id_bytes = 8 if wide else 4
        middle = _HEADER.size + count * id_bytes
        if len(payload) == middle + count * 4:
            return PackedNeighbours(count, power, id_bytes, payload[_HEADER.size : middle], payload[middle:])
    raise ReelstreamError("neighbours are cut short: run `reelstream rebuild`")


_HEADER = struct.Struct("<B?hH")
_FORMAT_BYTE = bytes([NEIGHBOURS_FORMAT])
_NO_NEIGHBOURS = PackedNeighbours(0, 0, 4, b"", b"")
_TINY = bytes(range(18))
"""Highest bytes of single-precision numbers below SINGLE_SMALLEST: a row of nothing larger might lose some of it."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, dict[int, int], list[float], float, float, str, bool])
