"""Admission: who gets a slot of a table that is nearly full, so that ever new ids can't push out those that matter.

A flood of ids that come once (bots, made-up posts) would take the slots of those who were away longest. So while a
table is crowded (online_models.slots), an id is only noted when it comes, and gets a slot when it comes again before
MOST others did: TinyLFU's doorkeeper (Einziger, Friedman and Manes, ACM ToS 2017). It may wait with the row of its
post.
"""

from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 20_000
"""Ids that wait, in either of two generations: 3 MB of them, with rows some 20 MB."""


class Doorkeeper(Generic[T]):
    """Ids that came lately and have no slot, each with what is known of it.

    Examples
    --------
    >>> door = Doorkeeper[str]()
    >>> door.knock(7), door.knock(7), door.knock(8)
    (False, True, False)
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._newer: dict[int, T | None] = {}
        self._older: dict[int, T | None] = {}

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def knock(self, one: int) -> bool:
        """Whether an id that comes now was noted before; otherwise it is now."""
        if one in self._newer or one in self._older:
            return True
        self.note(one, None)
        return False

    def note(self, one: int, known: T | None) -> None:
        """An id waits, with what is known of it; the oldest generation goes when the newer is full."""
        if len(self._newer) >= self.most:
            self._older, self._newer = self._newer, {}
        self._older.pop(one, None)
        self._newer[one] = known

    def leave(self, one: int) -> T | None:
        """An id waits no more: what was known of it."""
        older, newer = self._older.pop(one, None), self._newer.pop(one, None)
        return newer if newer is not None else older
