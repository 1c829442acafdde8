"""Which partition owns each of many posts: schemas.topics.post_owner, compiled.

An event asks it of 16 posts: 0.2 µs, where looking them up in a dict took 0.9.
"""

import numpy as np
from numpy.typing import NDArray

from online_models.compiled import compiled

_DIGITS = 20
"""Of the largest id in decimal, and one more than that."""
_MIX = np.uint32(0x5BD1E995)
_SEED = np.uint32(0x9747B28C)


@compiled
def post_owners(post_ids: NDArray[np.int64], partitions: int) -> NDArray[np.int16]:
    """(n,) partitions. murmur2 of the id in decimal, as Kafka's producers place it."""
    owners = np.empty(len(post_ids), np.int16)
    text = np.empty(_DIGITS, np.uint32)
    for number in range(len(post_ids)):
        rest, start = post_ids[number], _DIGITS
        while rest > 0 or start == _DIGITS:
            start -= 1
            text[start] = np.uint32(48 + rest % 10)
            rest //= 10
        length = _DIGITS - start
        hashed = _SEED ^ np.uint32(length)
        while _DIGITS - start >= 4:
            word = text[start] | text[start + 1] << 8 | text[start + 2] << 16 | text[start + 3] << 24
            word = np.uint32(word * _MIX)
            word = np.uint32((word ^ word >> 24) * _MIX)
            hashed = np.uint32(hashed * _MIX) ^ word
            start += 4
        if start < _DIGITS:
            for place in range(start, _DIGITS):
                hashed ^= np.uint32(text[place] << 8 * (place - start))
            hashed = np.uint32(hashed * _MIX)
        hashed = np.uint32((hashed ^ hashed >> 13) * _MIX)
        hashed ^= hashed >> 15
        owners[number] = (hashed & np.uint32(0x7FFFFFFF)) % partitions
    return owners
