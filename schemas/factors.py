"""What the learner publishes and resumes from: vectors of posts, the blend's weights, snapshots of its models."""

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import cramjam
import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import ReelstreamError

CHUNK_BYTES = 32 << 20
"""Of a snapshot's chunk: what Redis and PostgreSQL take in one go without a long pause."""
MOST_STATE_BYTES = 4 << 30
_KINDS = "biuf"
_DIGEST_BYTES = 16


class LearnerMark(msgspec.Struct, array_like=True):
    """Moved by each publication, in its transaction; a learner that finds another mark than it left writes nothing.

    owner: the learner that wrote it, a new name each time one takes over. version: grows by one with each publication,
    also from one owner to the next. width: numbers in a vector, 0 before there are any.
    """

    owner: str = ""
    version: int = 0
    width: int = 0


class Snapshot(msgspec.Struct, kw_only=True):
    """version: of the mark when it was taken; the larger is the newer. at: when, seconds since 1970.

    log, offset: the last message of topic `learning` that is in it (as in schemas.marks).
    chunks: how many there are. digest: BLAKE2b of all, hexadecimal.
    """

    version: int
    at: float
    log: str
    offset: int
    chunks: int
    digest: str


encode_mark = msgspec.msgpack.Encoder().encode
_mark = msgspec.msgpack.Decoder(LearnerMark)
encode_snapshot = msgspec.json.Encoder().encode
_snapshot = msgspec.json.Decoder(Snapshot)


def decode_mark(payload: bytes | None) -> LearnerMark:
    """None or empty: nothing was ever published."""
    return _mark.decode(payload) if payload else LearnerMark()


def decode_snapshot(payload: bytes | None) -> Snapshot | None:
    return _snapshot.decode(payload) if payload else None


class _Array(msgspec.Struct, array_like=True):
    dtype: str
    shape: list[int]
    packed: bytes


_encode = msgspec.msgpack.Encoder().encode
_arrays = msgspec.msgpack.Decoder(dict[str, _Array])


def encode_state(state: Mapping[str, NDArray[Any]]) -> list[bytes]:
    """Chunks of at most CHUNK_BYTES. Each array is compressed by Zstandard's level 1: 300 MB/s, where zlib does 35 and
    saves no more of single-precision numbers (7 %); what is not yet learnt is zeros and takes next to nothing."""
    arrays = {}
    for name, array in state.items():
        little = np.asarray(array, array.dtype.newbyteorder("<"))
        packed = bytes(cramjam.zstd.compress(little.tobytes(), level=1))
        arrays[name] = _Array(little.dtype.str, list(array.shape), packed)
    payload = _encode(arrays)
    return [payload[start : start + CHUNK_BYTES] for start in range(0, len(payload), CHUNK_BYTES)]


def digest_of(chunks: Sequence[bytes]) -> str:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def decode_state(chunks: Sequence[bytes], digest: str) -> dict[str, NDArray[Any]]:
    """The inverse of encode_state. Raises ReelstreamError for chunks that are not what the digest says, or no state."""
    if digest_of(chunks) != digest:
        raise ReelstreamError("a snapshot of the learner is not what its digest says")
    try:
        arrays = _arrays.decode(b"".join(chunks))
        return {name: _array(*msgspec.structs.astuple(each)) for name, each in arrays.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError, cramjam.DecompressionError) as error:
        raise ReelstreamError(f"a snapshot of the learner can't be read: {error}") from None


def _array(dtype: str, shape: list[int], packed: bytes) -> NDArray[Any]:
    """Raises TypeError, ValueError or DecompressionError for what encode_state would not have written."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if kind.kind not in _KINDS or min(shape, default=0) < 0 or size > MOST_STATE_BYTES:
        raise ValueError(f"an array of {dtype}, {shape}")
    raw = bytearray(size)
    if cramjam.zstd.decompress_into(packed, raw) != size:
        raise ValueError("an array is cut short")
    return np.frombuffer(raw, kind).reshape(shape)
