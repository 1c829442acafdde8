"""Drift: River's ADWIN on whether the blend finds what users come to (Bifet and Gavaldà, SDM 2007)."""

from river import drift

DELTA = 1e-4
"""Chance of a false alarm at a test of the window; at .002, River's default, a steady stream of 50,000 has three."""


class HitRate:
    """drifts: changes of the hit rate that were noticed so far."""

    def __init__(self) -> None:
        self._window = drift.ADWIN(delta=DELTA)
        self.drifts = 0

    def add(self, found: bool) -> bool:
        """Whether the rate is no longer what it was, downwards."""
        before = self._window.estimation
        self._window.update(float(found))
        changed = bool(self._window.drift_detected) and self._window.estimation < before
        self.drifts += changed
        return changed

    @property
    def rate(self) -> float:
        """Over the window, as long as nothing changed in it."""
        return float(self._window.estimation)
