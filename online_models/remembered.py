"""What a function says of texts that many posts have in common."""

from collections.abc import Callable
from typing import TypeVar

MOST = 4_096
"""Texts, half a MB; then all are forgotten at once."""
LONGEST = 64
"""Characters of a text that is kept; longer ones are asked anew."""

T = TypeVar("T")


class Remembered(dict[str, T]):
    """Text → what `of` says of it. `map(remembered.__getitem__, texts)` takes 30 ns a text, lru_cache behind a check of
    the length 130."""

    def __init__(self, of: Callable[[str], T]) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, text: str) -> T:
        found = self._of(text)
        if len(text) <= LONGEST:
            if len(self) >= MOST:
                self.clear()
            self[text] = found
        return found
