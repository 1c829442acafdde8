"""Snapshots of the learner: arrays as bytes, and whatever bytes as arrays or a refusal."""

from contextlib import suppress

import cramjam
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from schemas import factors
from schemas.errors import ReelstreamError
from schemas.factors import decode_state, digest_of, encode_state

DTYPES = st.sampled_from([np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_])
ARRAYS = DTYPES.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0)))


@given(st.dictionaries(st.text(max_size=8), ARRAYS, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_state_is_read_as_it_was_written(state):
    chunks = encode_state(state)
    again = decode_state(chunks, digest_of(chunks))
    assert again.keys() == state.keys()
    for name, array in state.items():
        assert (again[name].dtype, again[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(again[name], array, equal_nan=array.dtype.kind == "f")


def test_a_large_state_goes_in_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(factors, "CHUNK_BYTES", 1_000)
    monkeypatch.setattr(factors, "BLOCK_BYTES", 512)
    state = {"noise": np.random.default_rng(1).random(1_000), "zeros": np.zeros((50, 3), np.float16)}
    chunks = encode_state(state)
    assert len(chunks) > 1
    assert np.array_equal(decode_state(chunks, digest_of(chunks))["noise"], state["noise"])
    for spoilt in (chunks[:-1], [chunks[1], chunks[0], *chunks[2:]], []):
        with pytest.raises(ReelstreamError, match="digest"):
            decode_state(spoilt, digest_of(chunks))


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_bytes_that_are_no_state_are_refused(payload):
    with suppress(ReelstreamError):
        decode_state([payload], digest_of([payload]))


@pytest.mark.parametrize(
    ("dtype", "shape", "raw"),
    [("|O", [1], b"12345678"), ("<f4", [3], b"1234"), ("<f4", [1], b"12345678"), ("<f4", [2**62, 2**62], b""),
     ("<f4", [-1], b""), ("nothing", [1], b"1"), ("<U4", [1], b"1" * 16)],
)  # fmt: skip
def test_arrays_that_the_learner_would_not_write_are_refused(dtype: str, shape: list[int], raw: bytes):
    packed = bytes(cramjam.zstd.compress(raw))
    payload = msgspec.msgpack.encode([("a", dtype, shape, packed)])
    with pytest.raises(ReelstreamError, match="can't be read"):
        decode_state([payload], digest_of([payload]))
