"""How far a worker is and how fresh: what its heartbeat tells the others."""

import time
from collections import Counter, deque
from collections.abc import Sequence

from .record import Record

Place = tuple[str, int]
"""Topic and partition."""


class Progress:
    """Counts of one process, kept by the agents.

    metrics: how good the global models are, by name. applied: the offset that each partition applies next.
    waiting: why a partition waits for a service.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.metrics: dict[str, float] = {}
        self.applied: dict[Place, int] = {}
        self.waiting: dict[Place, str] = {}
        self._delays: deque[float] = deque(maxlen=1000)

    def done(self, records: Sequence[Record]) -> None:
        """These messages of one partition have had all their effects."""
        last, now = records[-1], time.time()
        self.applied[last.topic, last.partition] = last.offset + 1
        self.counters["messages"] += len(records)
        self._delays.extend(now - record.at for record in records if record.at > 0)

    def freshness(self) -> dict[str, float]:
        """Seconds from produced to applied, median and 99th percentile of the last thousand messages."""
        delays = sorted(self._delays)
        if not delays:
            return {}
        return {str(quantile): delays[min(int(quantile * len(delays)), len(delays) - 1)] for quantile in (0.5, 0.99)}
