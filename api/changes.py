"""What a variant of an experiment (api/experiments.py) changes of a feed."""

from typing import Annotated

import msgspec
from msgspec import Meta

Factor = Annotated[float, Meta(ge=0, le=10)]


class Changes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What it does not name stays as it is.

    diversity: of requests that name none. exploration: whether a place is given to a post to learn about it.
    cold_start_threshold: in place of the setting, events until what knows nobody counts half. sources, scorers: name →
    how many times what it says counts; 0 silences it. rules: a file in place of RULES_PATH, beside that of the
    experiments.
    """

    diversity: Annotated[float, Meta(ge=0, le=1)] | None = None
    exploration: bool | None = None
    cold_start_threshold: Annotated[int, Meta(ge=0)] | None = None
    sources: dict[str, Factor] = {}
    scorers: dict[str, Factor] = {}
    rules: Annotated[str, Meta(min_length=1)] | None = None

    @property
    def changed(self) -> set[str]:
        """What it names; of sources and scorers each by itself."""
        named = {name for name in ("diversity", "exploration", "cold_start_threshold", "rules")
                 if getattr(self, name) is not None}  # fmt: skip
        return named | {f"sources.{name}" for name in self.sources} | {f"scorers.{name}" for name in self.scorers}

    def and_those_of(self, other: "Changes") -> "Changes":
        """Both, where they name different things."""
        both = Changes(sources=self.sources | other.sources, scorers=self.scorers | other.scorers)
        for name in ("diversity", "exploration", "cold_start_threshold", "rules"):
            mine = getattr(self, name)
            setattr(both, name, getattr(other, name) if mine is None else mine)
        return both


NONE = Changes()
