"""What is kept in the process to be used again: bounded in bytes, each entry with a lifetime, hits counted."""

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from .metrics import Metrics

V = TypeVar("V")


class Cache(Generic[V]):
    """Least recently used entries go first, when they take more than `most_bytes` together.

    name: in the metric reelstream_cache_requests. seconds: how long an entry is good at most.
    """

    def __init__(self, name: str, seconds: float, most_bytes: int, metrics: Metrics) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._entries: OrderedDict[Hashable, tuple[V, float, int]] = OrderedDict()
        self._hits = metrics.cache_requests.labels(name, "hit")
        self._misses = metrics.cache_requests.labels(name, "miss")
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable, now: float | None = None) -> V | None:
        """The entry, None when there is none or it is too old. Whether it was used is for the caller to say: count."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, until, _ = entry
        if (time.monotonic() if now is None else now) >= until:
            self.drop(key)
            return None
        self._entries.move_to_end(key)
        return value

    def count(self, hit: bool) -> None:
        (self._hits if hit else self._misses).inc()

    def put(self, key: Hashable, value: V, size: int, now: float | None = None) -> None:
        """Keeps a value that takes so many bytes; one that is too large for all of the room is not kept."""
        self.drop(key)
        if size > self._most_bytes:
            return
        self._entries[key] = value, (time.monotonic() if now is None else now) + self._seconds, size
        self.bytes += size
        while self.bytes > self._most_bytes:
            self.drop(next(iter(self._entries)))

    def drop(self, key: Hashable) -> None:
        """Forgets an entry, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry[2]
