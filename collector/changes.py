"""What a row and the memory of it say together: which events to publish, and what to remember.

A row is remembered by (kind, id). Events have ids made from it, from how often it changed, and from their content: what
is collected twice, or published twice around a crash, counts once; a like that comes back after it was taken back is
another change, and counts again.
"""

import uuid
from datetime import datetime

import msgspec

from schemas.events import MEASURED_TYPES, TAKEN_BACK, Interaction

from .kinds import Kind
from .rows import InteractionRow

SOURCE = "collector"
_NAMESPACE = uuid.UUID("6f0c9b57-3c0e-5e0f-9a52-8f1f6c1f6d10")


class Remembered(msgspec.Struct, frozen=True):
    """A row as it was last published.

    username: whose its events are; None when nothing stands, because it was taken back or kept out.
    at: time of its newest event, which take-backs have too. Decayed sums then lose what they got: an unlike of a like
    of last year, counted now, would leave the post 3 below nothing for weeks.
    version: how often it changed. events: how many of its events stand: one, and one more for each changed rating.
    scan: in which it was last seen.
    """

    id: int
    user_id: int
    post_id: int
    value: float
    at: datetime
    username: str | None
    version: int
    events: int
    scan: int


def unknown_name(user_id: int) -> str:
    """Under which a user is kept until the name is known."""
    return f"user:{user_id}"


def publish(
    kind: Kind, row: InteractionRow, before: Remembered | None, username: str | None, scan: int, now: datetime
) -> tuple[list[Interaction], Remembered]:
    """The events that a row makes, none when nothing changed.

    username: whose they are to be; None keeps them out. now: when a change was noticed, as upstream doesn't say when
    it was made: ratings change without their time.
    """
    version = before.version if before else 0
    stands = before is not None and before.username is not None
    same = stands and before is not None and (before.username, before.post_id) == (username, row.post_id)
    if before is not None and same:
        moved = kind.interaction in MEASURED_TYPES and before.value != row.value
        again = kind.interaction == "view" and row.at > before.at
        if not moved and not again:
            return [], msgspec.structs.replace(before, scan=scan)
        after = Remembered(
            row.id, row.user_id, row.post_id, row.value, row.at if again else now, username, version + 1,
            before.events + 1, scan,
        )  # fmt: skip
        return [_event(kind, after, row.value)], after
    if username is None and not stands:
        return [], Remembered(row.id, row.user_id, row.post_id, row.value, row.at, None, version, 0, scan)
    events: list[Interaction] = []
    if before is not None and stands:
        events, before = take_back(kind, before)
        version = before.version
    after = Remembered(
        row.id, row.user_id, row.post_id, row.value, row.at, username, version + 1, 1 if username else 0, scan
    )
    return events + ([_event(kind, after, row.value)] if username else []), after


def take_back(kind: Kind, before: Remembered) -> tuple[list[Interaction], Remembered]:
    """Takes back all that stands of a row."""
    value = TAKEN_BACK if kind.interaction in MEASURED_TYPES else 0.0
    events, after = [], before
    for _ in range(before.events):
        after = msgspec.structs.replace(after, version=after.version + 1)
        events.append(_event(kind, after, value))
    return events, msgspec.structs.replace(after, username=None, events=0)


def _event(kind: Kind, row: Remembered, value: float) -> Interaction:
    content = f"{kind.name}:{row.id}:{row.version}:{row.username}:{row.post_id}:{value}"
    return Interaction(
        username=row.username or "", post_id=row.post_id, interaction_type=kind.interaction or "view",
        interaction_value=value, occurred_at=row.at, event_id=str(uuid.uuid5(_NAMESPACE, content)), source=SOURCE,
        take_back=value == TAKEN_BACK,
    )  # fmt: skip
