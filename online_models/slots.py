"""Places of ids in arrays: bounded, so that a stream of ever new ids costs no more memory than the busiest of them."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECYCLED = 16
"""A full table gives up a sixteenth of its slots at once, those whose ids came longest ago: one partition of the clock
for thousands of admissions."""
RESERVED = 8
"""Of a table, an eighth is for ids that came before (online_models.admission): twice what it gives up at once, so that
ids which come once don't fill what was given up for others."""


class Slots:
    """A slot for each id, at most `capacity`.

    ids (capacity,): whose a slot is. size: slots ever given; arrays of models mean something up to there.
    dropped: ids that lost theirs to others, for who has to know; it takes them out.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.ids = np.zeros(capacity, np.int64)
        self.size = 0
        self.dropped: deque[int] = deque(maxlen=capacity)
        self._places: dict[int, int] = {}
        self._used = np.zeros(capacity, np.int64)
        self._clock = 0
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._places)

    @property
    def crowded(self) -> bool:
        """Whether less than the reserved share is left."""
        return len(self._places) >= self.capacity - self.capacity // RESERVED

    def get(self, one: int) -> int:
        """The slot of an id, −1 for a stranger. Nothing is remembered of the question."""
        return self._places.get(one, -1)

    def find(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """The same for many, in the shape they have."""
        get = self._places.get
        return np.array([get(one, -1) for one in ids.ravel().tolist()], np.int32).reshape(ids.shape)

    def known_ids(self) -> list[int]:
        """All ids that have a slot."""
        return list(self._places)

    def admit(self, one: int) -> tuple[int, bool]:
        """The slot of an id that came now, and whether it is new: then what models hold in it is another's."""
        self._clock += 1
        slot = self._places.get(one)
        new = slot is None
        if slot is None:
            slot = self._take()
            self._places[one] = slot
            self.ids[slot] = one
        self._used[slot] = self._clock
        return slot, new

    def release(self, one: int) -> int:
        """Gives the slot of an id away: which it was, −1 for a stranger."""
        slot = self._places.pop(one, -1)
        if slot >= 0:
            self._free.append(slot)
        return slot

    def take_dropped(self) -> set[int]:
        """The ids that lost their slots since the last call and have none now."""
        dropped = {one for one in self.dropped if one not in self._places}
        self.dropped.clear()
        return dropped

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        if self.size < self.capacity:
            self.size += 1
            return self.size - 1
        oldest = np.argpartition(self._used, self.capacity // RECYCLED)[: max(self.capacity // RECYCLED, 1)]
        for slot in oldest.tolist():
            del self._places[int(self.ids[slot])]
            self.dropped.append(int(self.ids[slot]))
        self._free = oldest.tolist()
        return self._free.pop()

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps: ids and the clock, up to `size`, and which slots are free."""
        free = np.array(self._free, np.int64)
        return {"ids": self.ids[: self.size].copy(), "used": self._used[: self.size].copy(), "free": free}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes a state over. Raises ValueError when it holds more than fits."""
        ids, used = state["ids"], state["used"]
        if len(ids) > self.capacity:
            raise ValueError(f"{len(ids)} slots do not fit into {self.capacity}")
        self.size = len(ids)
        self.ids[: self.size], self._used[: self.size] = ids, used
        self._clock = int(used.max(initial=0))
        self._free = state["free"].tolist()
        free = set(self._free)
        self._places = {one: slot for slot, one in enumerate(ids.tolist()) if slot not in free}
