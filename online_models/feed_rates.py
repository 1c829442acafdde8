"""Click-through of feeds by where posts stood and which sources had them: how metrics see position bias."""

from collections import defaultdict

from .shown_lists import Page

GROUPS = ((3, "1_3"), (10, "4_10"), (20, "11_20"))
"""Positions up to, from 1, and what they are called; those behind them are `more`."""
PAGES = 5_000
"""After which all counts are halved: rates are of the last some thousand pages."""
MOST_SOURCES = 32
"""Names of sources come with the pages; others are not counted."""


class FeedRates:
    """Impressions and clicks as they are, not by the chance that a position is seen."""

    def __init__(self) -> None:
        self._shown: dict[str, float] = defaultdict(float)
        self._taken: dict[str, float] = defaultdict(float)
        self._sources: set[str] = set()
        self._pages = 0

    def add_page(self, page: Page) -> None:
        self._pages += 1
        if self._pages % PAGES == 0:
            for counts in (self._shown, self._taken):
                for name in counts:
                    counts[name] /= 2
        for place in range(len(page.posts)):
            self._shown["ctr"] += 1
            self._shown[_group(page.position + place)] += 1
        for source, places in page.sources.items():
            if len(self._sources) < MOST_SOURCES:
                self._sources.add(source)
            if source in self._sources:
                self._shown[f"ctr_source_{source}"] += len(places)

    def add_click(self, page: Page, place: int) -> None:
        self._taken["ctr"] += 1
        self._taken[_group(page.position + place)] += 1
        for source, places in page.sources.items():
            if source in self._sources and place in places:
                self._taken[f"ctr_source_{source}"] += 1

    def rates(self) -> dict[str, float]:
        """`ctr` of all, `ctr_position_GROUP`, `ctr_source_NAME`: clicks an impression."""
        return {name: self._taken.get(name, 0.0) / shown for name, shown in self._shown.items() if shown}


def _group(position: int) -> str:
    return "ctr_position_" + next((name for most, name in GROUPS if position < most), "more")
