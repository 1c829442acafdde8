"""What stage 2 keeps of a post, as two Redis values: its counters and its neighbours."""

import msgspec

from .errors import ReelstreamError
from .events import INTERACTION_TYPES

FORMAT = 1


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
        version, counts, decayed, at, strength, category, known = _state_decoder.decode(payload)
        _check(version, "item state")
        return cls(counts, decayed, at, strength, category, known)


class Neighbours(msgspec.Struct):
    """Co-visitation weights of one post, forward-decayed to a fixed landmark (online_models.co_visitation)."""

    weights: dict[int, float] = msgspec.field(default_factory=dict)

    def encode(self) -> bytes:
        """12 to 18 bytes a neighbour: id and weight, in double precision as forward decay spans many powers of two."""
        return _encoder.encode((FORMAT, self.weights))

    @classmethod
    def decode(cls, payload: bytes | None) -> "Neighbours":
        """None is a post without neighbours. Raises ReelstreamError for a format of another version."""
        if payload is None:
            return cls()
        version, weights = _neighbours_decoder.decode(payload)
        _check(version, "neighbours")
        return cls(weights)


def _check(version: int, what: str) -> None:
    if version != FORMAT:
        raise ReelstreamError(f"{what} has format {version}, this version reads {FORMAT}: run a rebuild")


_encoder = msgspec.msgpack.Encoder()
_state_decoder = msgspec.msgpack.Decoder(tuple[int, dict[int, int], list[float], float, float, str, bool])
_neighbours_decoder = msgspec.msgpack.Decoder(tuple[int, dict[int, float]])
