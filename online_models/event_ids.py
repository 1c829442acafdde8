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


def event_hash(event_id: str) -> int:
    """8 bytes of BLAKE2b as a signed integer."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "little", signed=True)


class SeenEventIds:
    """The window in memory: full blocks as sorted arrays (binary search), the newest as a set."""

    def __init__(self, block: int, blocks: list[bytes | None]) -> None:
        """block: number of the newest block; blocks: the stored ones, oldest first, ending with the newest."""
        self.block = block
        self._full: list[NDArray[np.int64]] = [_sorted(stored) for stored in blocks[:-1] if stored]
        self._newest = set(array("q", blocks[-1] or b"")) if blocks else set()

    @property
    def filled(self) -> int:
        """Ids in the newest block."""
        return len(self._newest)

    def seen(self, hashed: int) -> bool:
        """True when the id was added before, within the window."""
        if hashed in self._newest:
            return True
        for ids in self._full:
            place = int(ids.searchsorted(hashed))
            if place < len(ids) and ids[place] == hashed:
                return True
        return False

    def add(self, hashes: list[int]) -> dict[int, bytes]:
        """Adds ids and tells what to append to which stored block. Blocks to delete: see `expired`."""
        appended: dict[int, bytes] = {}
        while hashes:
            room = BLOCK_IDS - len(self._newest)
            if room <= 0:
                self._full = [*self._full, np.sort(np.fromiter(self._newest, np.int64))][-(BLOCKS - 1) :]
                self._newest = set()
                self.block += 1
                continue
            appended[self.block] = array("q", hashes[:room]).tobytes()
            self._newest.update(hashes[:room])
            hashes = hashes[room:]
        return appended

    @property
    def expired(self) -> int:
        """Number of the youngest block that has left the window; negative when none has."""
        return self.block - BLOCKS


def _sorted(stored: bytes) -> NDArray[np.int64]:
    return np.sort(np.frombuffer(stored, "<i8").astype(np.int64))
