"""Drift: River's ADWIN on whether the blend finds what users come to (Bifet and Gavaldà, SDM 2007)."""

from typing import Any

DELTA = 1e-4
"""Chance of a false alarm at a test of the window; at .002, River's default, a steady stream of 50,000 has three."""
EARLY = 16
"""Below this ADWIN tests nothing. It is imported then: that takes a second, which workers without the learner save."""


class HitRate:
    """drifts: changes of the hit rate that were noticed so far."""

    def __init__(self) -> None:
        self._window: Any = None
        self._early: list[bool] = []
        self.drifts = 0

    def add(self, found: bool) -> bool:
        """Whether the rate is no longer what it was, downwards."""
        if self._window is None:
            self._early.append(found)
            if len(self._early) == EARLY:
                self._window = _adwin(self._early)
            return False
        before = self._window.estimation
        self._window.update(float(found))
        changed = bool(self._window.drift_detected) and self._window.estimation < before
        self.drifts += changed
        return changed

    @property
    def rate(self) -> float:
        """Over the window, as long as nothing changed in it."""
        if self._window is None:
            return sum(self._early) / max(len(self._early), 1)
        return float(self._window.estimation)


def _adwin(early: list[bool]) -> Any:
    from river import drift

    window = drift.ADWIN(delta=DELTA)
    for found in early:
        window.update(float(found))
    return window
