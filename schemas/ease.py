"""What the learner publishes of online_models.ease: the last solution, of 1,000 posts some 2 MB."""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import ReelstreamError

_MOST = 32_767


class EaseWeights(NamedTuple):
    """ids (m,) of posts; codes (m, m), int16, times unit: how much the first posts say for the second. That is off by
    at most half a unit, 1.5 · 10⁻⁵ of the largest weight: with 8 bits it would be half of a common one."""

    ids: NDArray[np.int64]
    codes: NDArray[np.int16]
    unit: float


class _Packed(msgspec.Struct, array_like=True):
    ids: bytes
    codes: bytes
    unit: float


_decoder = msgspec.msgpack.Decoder(_Packed)


def encode(ids: NDArray[np.int64], weights: NDArray[np.float32]) -> bytes:
    """weights (m, m), finite."""
    unit = float(np.abs(weights).max(initial=0.0)) / _MOST or 1.0
    codes = np.rint(weights / np.float32(unit)).astype("<i2")
    return msgspec.msgpack.encode(_Packed(ids.astype("<i8").tobytes(), codes.tobytes(), unit))


def decode(payload: bytes) -> EaseWeights:
    """Raises ReelstreamError for what `encode` would not have written."""
    try:
        found = _decoder.decode(payload)
        ids = np.frombuffer(found.ids, "<i8")
        codes = np.frombuffer(found.codes, "<i2").reshape(len(ids), len(ids))
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise ReelstreamError(f"the weights of `ease` can't be read: {error}") from None
    return EaseWeights(ids, codes, found.unit)
