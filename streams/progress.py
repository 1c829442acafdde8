"""How far a worker is and how fresh: what its heartbeat tells the others."""

import time
from collections import Counter, deque

from .batches import Record


class Progress:
    """Counts of one process, kept by the agents."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.applied: dict[tuple[str, int], int] = {}
        self._delays: deque[float] = deque(maxlen=1000)

    def done(self, records: list[Record]) -> None:
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
