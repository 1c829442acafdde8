"""What the learner resumes from, and the mark of what it publishes (schemas.learnt)."""

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import cramjam
import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import ReelstreamError

CHUNK_BYTES = 4 << 20
"""Of a snapshot's chunk, roughly: to send one stops a worker's event loop for 10 to 30 ms; of 32 MB it was 60."""
BLOCK_BYTES = 1 << 20
"""Of an array, compressed at a time: the compressor keeps the interpreter's lock, and arrays of 51 MB took 200 ms, in
which no other thread did anything. In blocks, others wait 7 ms at most."""
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


class _Block(msgspec.Struct, array_like=True):
    """The next BLOCK_BYTES of an array, compressed; with an empty one, all of them."""

    name: str
    dtype: str
    shape: list[int]
    packed: bytes


_encode = msgspec.msgpack.Encoder().encode
_blocks = msgspec.msgpack.Decoder(list[_Block])


def encode_state(state: Mapping[str, NDArray[Any]]) -> list[bytes]:
    """Chunks of about CHUNK_BYTES. Compressed by Zstandard's level 1: 300 MB/s, where zlib does 35 and saves no more of
    single-precision numbers (7 %); what is not yet learnt is zeros and takes next to nothing."""
    chunks: list[bytes] = []
    blocks: list[_Block] = []
    size = 0
    for name, array in state.items():
        little = np.asarray(array, array.dtype.newbyteorder("<")).reshape(-1)
        step = BLOCK_BYTES // little.itemsize
        for start in range(0, max(len(little), 1), step):
            packed = bytes(cramjam.zstd.compress(little[start : start + step].tobytes(), level=1))
            blocks.append(_Block(name, little.dtype.str, list(array.shape), packed))
            size += len(packed)
            if size >= CHUNK_BYTES:
                chunks.append(_encode(blocks))
                blocks, size = [], 0
    return [*chunks, _encode(blocks)]


def digest_of(chunks: Sequence[bytes]) -> str:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def decode_state(chunks: Sequence[bytes], digest: str) -> dict[str, NDArray[Any]]:
    """The inverse of encode_state. Raises ReelstreamError for chunks that are not what the digest says, or no state."""
    if digest_of(chunks) != digest:
        raise ReelstreamError("a snapshot of the learner is not what its digest says")
    raw: dict[str, tuple[NDArray[Any], list[bytes]]] = {}
    try:
        for chunk in chunks:
            for block in _blocks.decode(chunk):
                if block.name not in raw:
                    raw[block.name] = _empty(block.dtype, block.shape), []
                raw[block.name][1].append(block.packed)
        return {name: _filled(array, packed) for name, (array, packed) in raw.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError, cramjam.DecompressionError) as error:
        raise ReelstreamError(f"a snapshot of the learner can't be read: {error}") from None


def _empty(dtype: str, shape: list[int]) -> NDArray[Any]:
    """Raises TypeError or ValueError for an array that encode_state would not have written."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if kind.kind not in _KINDS or min(shape, default=0) < 0 or size > MOST_STATE_BYTES:
        raise ValueError(f"an array of {dtype}, {shape}")
    return np.empty(shape, kind)


def _filled(array: NDArray[Any], blocks: list[bytes]) -> NDArray[Any]:
    """Raises ValueError or DecompressionError."""
    flat, at = array.reshape(-1).view(np.uint8), 0
    for packed in blocks:
        end = min(at + BLOCK_BYTES, len(flat))
        room = bytearray(end - at)
        if cramjam.zstd.decompress_into(packed, room) != len(room):
            raise ValueError("an array is cut short")
        flat[at:end] = np.frombuffer(room, np.uint8)
        at = end
    if at != len(flat):
        raise ValueError("an array is cut short")
    return array
