"""Experiments: which variant of what a reader gets, from a file of the operator (setting EXPERIMENTS_PATH).

TOML, as rules and moods are: Python reads it by itself, it has dates, and a name is never taken for `no` or a number.
"""

import tomllib
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from functools import cache
from hashlib import blake2b
from itertools import accumulate, combinations
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.errors import SettingsError

from .changes import NONE, Changes
from .rules import load_rules

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
NO_VARIANT = "default"
"""Of impressions of readers that are in no experiment."""


class Variant(Changes, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """weight: its part of the readers, relative to those of the other variants."""

    name: Name
    weight: Annotated[float, Meta(gt=0, le=1e6)] = 1.0


class Experiment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """salt: another one deals the readers anew. share: part of all readers that take part. since, until: first and last
    day, UTC. variants: the first is the control."""

    name: Name
    salt: str = ""
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    since: date | None = None
    until: date | None = None
    variants: Annotated[list[Variant], Meta(min_length=2, max_length=16)]

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if len({*names}) < len(names):
            raise ValueError(f"{self.name}: two variants have the same name")
        if self.since is not None and self.until is not None and self.until < self.since:
            raise ValueError(f"{self.name}: until is before since")

    @property
    def control(self) -> Variant:
        return self.variants[0]

    @property
    def changed(self) -> set[str]:
        """What any of its variants changes."""
        return set().union(*(variant.changed for variant in self.variants))

    def holds(self, now: float) -> bool:
        today = datetime.fromtimestamp(now, UTC).date()
        return (self.since is None or self.since <= today) and (self.until is None or today <= self.until)

    def meets(self, other: "Experiment") -> bool:
        """Whether there is a day on which both hold."""
        days = [(each.since or date.min, each.until or date.max) for each in (self, other)]
        return max(since for since, _ in days) <= min(until for _, until in days)

    def variant_of(self, reader: str) -> Variant | None:
        """The same for a reader at all times: by a hash of experiment, salt and reader. None for those that do not take
        part. A larger share adds readers and moves none; other weights move some. 2 µs."""
        digest = blake2b("\0".join((self.name, self.salt, reader)).encode(), digest_size=16).digest()
        inside, place = (int.from_bytes(half) / 2**64 for half in (digest[:8], digest[8:]))
        if inside >= self.share:
            return None
        bounds = list(accumulate(variant.weight for variant in self.variants))
        return next(
            (v for v, bound in zip(self.variants, bounds, strict=True) if place * bounds[-1] < bound), self.variants[-1]
        )


class _File(msgspec.Struct, forbid_unknown_fields=True):
    experiments: list[Experiment]


@cache
def load_experiments(path: Path | None) -> tuple[Experiment, ...]:
    """The experiments of a file, none without one. Raises SettingsError that says what is wrong in it."""
    if path is None:
        return ()
    try:
        found = msgspec.convert(tomllib.loads(path.read_text()), _File).experiments
    except OSError as error:
        raise SettingsError(f"EXPERIMENTS_PATH={str(path)!r} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(
            f"EXPERIMENTS_PATH={str(path)!r} has no [[experiments]] that can be used: {error}"
        ) from None
    for one, other in combinations(found, 2):
        if one.name == other.name:
            raise SettingsError(f"EXPERIMENTS_PATH={str(path)!r}: {one.name} is there twice")
        if one.meets(other) and (both := one.changed & other.changed):
            raise SettingsError(
                f"EXPERIMENTS_PATH={str(path)!r}: {one.name} and {other.name} hold on the same days and both change "
                f"{', '.join(sorted(both))}; make one experiment of them, or let one end before the other begins"
            )
    for experiment in found:
        for variant in experiment.variants:
            if variant.rules is not None:
                variant.rules = str(path.parent / variant.rules)
    return tuple(found)


def check(experiments: Iterable[Experiment], sources: Collection[str], scorers: Collection[str]) -> None:
    """Raises SettingsError for a source or a scorer that there is none of, and for rules that can't be used."""
    for experiment in experiments:
        for variant in experiment.variants:
            load_rules(None if variant.rules is None else Path(variant.rules))
            for kind, named, known in (("source", variant.sources, sources), ("scorer", variant.scorers, scorers)):
                for name in named:
                    if name not in known:
                        raise SettingsError(
                            f"experiment {experiment.name}, variant {variant.name}: there is no {kind} {name!r}; "
                            f"there are {', '.join(known)}"
                        )


def assign(experiments: Sequence[Experiment], reader: str, now: float) -> tuple[str, Changes]:
    """The variants of a reader as impressions name them, `experiment=variant` with commas, and what they change."""
    if not experiments:
        return NO_VARIANT, NONE
    names, changes = [], NONE
    for experiment in experiments:
        if experiment.holds(now) and (variant := experiment.variant_of(reader)) is not None:
            names.append(f"{experiment.name}={variant.name}")
            changes = changes.and_those_of(variant)
    return ",".join(names) or NO_VARIANT, changes
