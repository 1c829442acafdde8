"""The window of seen event ids of one partition: which events are repeats.

Ids are kept as 8-byte hashes in blocks that Redis stores as strings, the newest BLOCKS of them: 8 bytes an id, and
no more than 8 MiB a partition. Past the window (about a million events of the partition) a repeat would count again;
what Kafka itself redelivers is told by its offset, whatever its age. Two different ids share a hash once in 10^13
events at a full window.
"""

from array import array
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

BLOCK_IDS = 65_536
BLOCKS = 16


def event_hash(username: str, event_id: str) -> int:
    """8 bytes of BLAKE2b of both as a signed integer: an event id names an event of its user."""
    # Neither holds NUL, so no two pairs give the same bytes.
    named = f"{username}\0{event_id}".encode()
    return int.from_bytes(blake2b(named, digest_size=8).digest(), "little", signed=True)


def stored_blocks(block: int) -> range:
    """Numbers of the blocks in the window whose newest is `block`, oldest first."""
    return range(max(block - BLOCKS + 1, 0), block + 1)


class SeenEventIds:
    """The window in memory: full blocks as one sorted array, searched for a batch at once, the newest as a set."""

    def __init__(self, block: int, blocks: list[bytes | None]) -> None:
        """block: number of the newest block; blocks: the stored ones, oldest first, ending with the newest."""
        self.block = block
        self._blocks = [np.frombuffer(stored, "<i8").astype(np.int64) for stored in blocks[:-1] if stored]
        self._full = _merged(self._blocks)
        self._newest = set(array("q", blocks[-1] or b"")) if blocks else set()

    def seen(self, hashes: list[int]) -> list[bool]:
        """Of each id, whether it was added before, within the window."""
        newest = self._newest
        if not len(self._full):
            return [hashed in newest for hashed in hashes]
        wanted = np.array(hashes, np.int64)
        places = np.minimum(self._full.searchsorted(wanted), len(self._full) - 1)
        older = (self._full[places] == wanted).tolist()
        return [old or hashed in newest for old, hashed in zip(older, hashes, strict=True)]

    def add(self, hashes: list[int]) -> dict[int, bytes]:
        """Adds ids and tells what to append to which stored block. Blocks to delete: see `expired`."""
        appended: dict[int, bytes] = {}
        while hashes:
            room = BLOCK_IDS - len(self._newest)
            if room <= 0:
                filled = np.fromiter(self._newest, np.int64, len(self._newest))
                self._blocks = [*self._blocks, np.sort(filled)][-(BLOCKS - 1) :]
                self._full, self._newest = _merged(self._blocks), set()
                self.block += 1
                continue
            appended[self.block] = array("q", hashes[:room]).tobytes()
            self._newest.update(hashes[:room])
            hashes = hashes[room:]
        return appended

    def full_block(self, block: int) -> bytes:
        """A block that is full, as it is stored."""
        return self._blocks[block - self.block].astype("<i8").tobytes()

    @property
    def expired(self) -> int:
        """Number of the youngest block that has left the window; negative when none has."""
        return self.block - BLOCKS


def _merged(blocks: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    # Stable: timsort takes runs that are sorted already as they are.
    return np.sort(np.concatenate([np.empty(0, np.int64), *blocks]), kind="stable")
