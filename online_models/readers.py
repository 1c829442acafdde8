"""Who acts, as the learner keeps them: users with a slot, and those who only pass: guests, users not yet admitted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.learning import is_guest_hash

from .admission import Doorkeeper
from .past_table import PastTable
from .slots import Slots

PASSING = 4_096
"""Rows for those who pass, 1 KB each: whoever acted last. Their past comes with their events, so little is lost."""


class Readers:
    """Rows of tables: `users.capacity` of users, then PASSING of others, who have no vector, are not tested, and are
    in no snapshot.

    past: their last posts. last_at (rows,): event time of the newest, 0 without one. liked (rows,): they had a
    positive.
    """

    def __init__(self, users: Slots) -> None:
        self.users = users
        self._passing = Slots(PASSING)
        self._door: Doorkeeper[None] = Doorkeeper()
        rows = users.capacity + PASSING
        self.past = PastTable(rows)
        self.last_at, self.liked = np.zeros(rows), np.zeros(rows, np.bool_)

    def owns(self, row: int) -> bool:
        """Whether a row is that of a user with a slot."""
        return 0 <= row < self.users.capacity

    def get(self, user_id: int) -> int:
        """The row of a user or guest, −1 for a stranger. Nothing is remembered of the question."""
        if (slot := self.users.get(user_id)) >= 0:
            return slot
        slot = self._passing.get(user_id)
        return self.users.capacity + slot if slot >= 0 else -1

    def enter(self, user_id: int) -> tuple[int, bool]:
        """The row of who acts now, and whether it is new to them: then the caller starts it."""
        if self._passes(user_id):
            slot, new = self._passing.admit(user_id)
            return self.users.capacity + slot, new
        return self.users.admit(user_id)

    def _passes(self, user_id: int) -> bool:
        if is_guest_hash(user_id):
            return True
        if self.users.get(user_id) >= 0 or not self.users.crowded:
            return False
        if not self._door.knock(user_id):
            return True
        self._door.leave(user_id)
        self._passing.release(user_id)
        return False

    def start(self, row: int, past: NDArray[np.int32]) -> None:
        """A row begins, with the posts (q,) that its reader met, newest first."""
        self.past.start(row, past)
        self.last_at[row], self.liked[row] = 0.0, False

    def state(self) -> dict[str, NDArray[Any]]:
        """What a snapshot keeps of users."""
        size = self.users.size
        kept = {f"past/{name}": array for name, array in self.past.state(size).items()}
        return kept | {"last_at": self.last_at[:size].copy(), "liked": self.liked[:size].copy()}

    def load(self, past: Mapping[str, NDArray[Any]], state: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what `state` gave; the slots are in place already."""
        self.past.load(past)
        for name in ("last_at", "liked"):
            getattr(self, name)[: len(state[name])] = state[name]
