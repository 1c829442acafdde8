"""Business rules: what feeds boost, bury or pin, from a file of the operator (setting RULES_PATH)."""

import math
import tomllib
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from online_models.post_table import code_of
from schemas.errors import SettingsError

from . import matching
from .catalogue import Catalogue
from .stages import Mask, Query, Slots

MOST_FACTOR = 1000.0
DAY = 86_400.0


class Rule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What fits all that it names gets `factor` times the odds, or is pinned to the top.

    category, project: as in requests (api.matching). since, until: first and last day it holds, UTC. newer_than_days,
    older_than_days: age of the post; one without a date fits neither.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    factor: Annotated[float, Meta(gt=0, le=MOST_FACTOR)] = 1.0
    pin: bool = False
    category: str | None = None
    project: str | None = None
    author: str | None = None
    tag: str | None = None
    newer_than_days: Annotated[float, Meta(gt=0)] | None = None
    older_than_days: Annotated[float, Meta(gt=0)] | None = None
    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        conditions = (self.category, self.project, self.author, self.tag, self.newer_than_days, self.older_than_days)
        if all(condition is None for condition in conditions):
            raise ValueError(f"{self.name}: names no category, project, author, tag or age, so it fits everything")
        if self.pin is (self.factor != 1.0):
            raise ValueError(f"{self.name}: needs a factor other than 1, or pin: true, and not both")

    @property
    def logit(self) -> float:
        """What the factor adds to a score."""
        return math.log(self.factor)

    def holds(self, now: float) -> bool:
        today = datetime.fromtimestamp(now, UTC).date()
        return (self.since is None or self.since <= today) and (self.until is None or today <= self.until)

    def fits(self, catalogue: Catalogue, slots: Slots, now: float) -> Mask:
        """(n,): which posts it is about."""
        mask = np.ones(len(slots), np.bool_)
        if self.category is not None:
            mask &= matching.category(catalogue, self.category).of(catalogue, slots)
        if self.project is not None:
            mask &= matching.project(catalogue, self.project).of(catalogue, slots)
        if self.author is not None:
            mask &= catalogue.written_by[slots] == catalogue.author_codes.get(self.author.casefold(), -2)
        age = now - catalogue.created_at[slots]
        dated = catalogue.created_at[slots] > 0
        if self.newer_than_days is not None:
            mask &= dated & (age < self.newer_than_days * DAY)
        if self.older_than_days is not None:
            mask &= dated & (age > self.older_than_days * DAY)
        if self.tag is not None:
            wanted, codes = self.tag.casefold(), catalogue.tags[slots]
            # A row is read only where the code fits, or has no room for all tags.
            mask &= (codes == code_of(wanted)).any(axis=1) | (codes[:, -1] >= 0)
            for place in np.flatnonzero(mask).tolist():
                post = catalogue.posts[int(slots[place])]
                mask[place] = post is not None and any(tag.casefold() == wanted for tag in post.tags)
        return mask


def rules_of(query: Query, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Those that hold now: of the variant that the reader is in, where it has a file of its own."""
    if query.changes.rules is not None:
        rules = load_rules(Path(query.changes.rules))
    return tuple(rule for rule in rules if rule.holds(query.now))


class _File(msgspec.Struct, forbid_unknown_fields=True):
    rules: list[Rule]


@cache
def load_rules(path: Path | None) -> tuple[Rule, ...]:
    """The rules of a file, none without one. Raises SettingsError that says what is wrong in it."""
    if path is None:
        return ()
    try:
        return tuple(msgspec.convert(tomllib.loads(path.read_text()), _File).rules)
    except OSError as error:
        raise SettingsError(
            f"{str(path)!r} (RULES_PATH, or rules of an experiment) can't be read: {error.strerror}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(
            f"{str(path)!r} (RULES_PATH, or rules of an experiment) has no [[rules]] that can be used: {error}"
        ) from None
