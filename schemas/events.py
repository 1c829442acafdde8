"""Interactions: the public event contract (topic `interactions`, `POST /api/v1/interaction`)."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

import msgspec

from .decoding import DECODER_ERRORS, MOST_NESTING, count_containers, decode, one_or_many
from .errors import ContractError
from .guests import MOST_SESSION_CHARACTERS, guest_name

InteractionType = Literal[
    "view", "like", "inspire", "rating", "share", "bookmark", "comment", "follow", "exit", "not_interested", "report"
]
INTERACTION_TYPES: tuple[str, ...] = get_args(InteractionType)
TYPE_CODES: dict[str, int] = {name: code for code, name in enumerate(INTERACTION_TYPES)}
NEGATIVE_TYPES = frozenset({"exit", "not_interested", "report"})
"""Feedback that suppresses a post for that user at once."""
MEASURED_TYPES = frozenset({"view", "rating"})
"""Types whose value is a measurement; the value of all others is 1, or 0 to take the earlier one back."""
TAKEN_BACK = -1.0
"""Value of a view or a rating that takes the earlier one back (`take_back`), as 0 is a measurement of theirs."""

DEFAULT_WEIGHTS: Mapping[InteractionType, float] = {
    "view": 1.0, "like": 3.0, "inspire": 4.0, "rating": 3.0, "share": 5.0, "bookmark": 4.0, "comment": 4.0,
    "follow": 5.0, "exit": -1.0, "not_interested": -5.0, "report": -10.0,
}  # fmt: skip

# PostgreSQL stores every character but NUL.
Username = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern="^[^\x00]*$")]
MOST_ID = 2**53 - 1
"""What JSON numbers carry exactly in every client."""
PostId = Annotated[int, msgspec.Meta(ge=1, le=MOST_ID)]
ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern="^[^\x00]*$")]


MOST_SECONDS_AHEAD = 86_400.0
"""A clock may be wrong by a day; an event from further ahead would outlive everything else in decayed sums."""
MOST_WEIGHT = 1e6
"""Of an interaction type, in either direction: sums of more would lose the small ones."""
LATEST = 4_102_444_800.0
"""2100-01-01. Sums that decay forward are powers of two of the time: from 2104 on they overflow a double."""


class Interaction(msgspec.Struct, kw_only=True):
    """One interaction of a user with a post.

    `username`: who acted. Without it `session_id` says which guest did, whose username is then `guest:SESSION_ID`.
    `interaction_value`: for a view the watched fraction (0 to 1, above 1 for rewatches; unknown counts as 1), for a
    rating 0 to 100, for all other types 1, or 0 to take the earlier one back.
    `take_back`: takes the earlier one back, of any type, views and ratings too; the value says nothing then.
    `occurred_at`: UTC when no offset is given; without it, the time the message was produced.
    """

    username: Username = ""
    post_id: PostId
    interaction_type: InteractionType | Literal["rate"]
    interaction_value: float | None = None
    occurred_at: datetime | None = None
    event_id: ShortText | None = None
    recommendation_id: ShortText | None = None
    session_id: ShortText | None = None
    source: ShortText | None = None
    schema_version: int = 1
    take_back: bool = False

    def __post_init__(self) -> None:
        if not self.username:
            if self.session_id is None:
                raise ValueError("Object missing required field `username`; a guest sends session_id instead")
            if len(self.session_id) > MOST_SESSION_CHARACTERS:
                raise ValueError(f"that of a guest has up to {MOST_SESSION_CHARACTERS} characters - at `$.session_id`")
            self.username = guest_name(self.session_id)
        if self.interaction_type == "rate":
            self.interaction_type = "rating"
        if self.occurred_at is not None:
            if self.occurred_at.tzinfo is None:
                self.occurred_at = self.occurred_at.replace(tzinfo=UTC)
            if self.occurred_at.year < 1971:
                raise ValueError("`occurred_at` must be after 1970 - at `$.occurred_at`")
        value = self.interaction_value
        if self.take_back:
            self.interaction_value = TAKEN_BACK if self.interaction_type in MEASURED_TYPES else 0.0
        elif value is None:
            if self.interaction_type == "rating":
                raise ValueError("a rating needs a value from 0 to 100 - at `$.interaction_value`")
            self.interaction_value = 1.0
        elif self.interaction_type == "view":
            if not 0 <= value <= 1000:
                raise ValueError("a view's value is the watched fraction, 0 to 1000 - at `$.interaction_value`")
        elif self.interaction_type == "rating":
            if not 0 <= value <= 100:
                raise ValueError("a rating's value goes from 0 to 100 - at `$.interaction_value`")
        elif value not in (0, 1):
            raise ValueError(f"a {self.interaction_type} has value 1, or 0 to take it back - at `$.interaction_value`")


def event_time(event: Interaction, produced_at: float) -> float:
    """When the event happened, in seconds since 1970; without a time of its own, when its message was produced.

    produced_at: seconds; 0 or less when unknown. Raises ContractError for a time that lies too far ahead. Nothing here
    looks at the clock, so that reading a log again gives the same.
    """
    at = event.occurred_at.timestamp() if event.occurred_at else max(produced_at, 0.0)
    if produced_at > 0 and at > produced_at + MOST_SECONDS_AHEAD:
        raise ContractError("occurred_at: lies more than a day ahead of the message", "occurred_at")
    if at >= LATEST:
        raise ContractError("occurred_at: lies after 2099, or the message does and gives no other time", "occurred_at")
    return at


def event_id_at(topic: str, partition: int, offset: int, index: int | None) -> str:
    """The id of an event that came without one: its place in the log. index: in an array of several, else None."""
    place = f"{topic}-{partition}-{offset}"
    return place if index is None else f"{place}-{index}"


def strength(interaction_type: str, value: float, weights: Mapping[InteractionType, float]) -> float:
    """How much an interaction says, in units of one full view; negative for dislike.

    A view counts by its watched fraction up to 1, a rating by its share of 100, the others by their weight alone.
    """
    weight = weights[interaction_type]  # type: ignore[index]
    if interaction_type == "view":
        return weight * min(value, 1.0)
    if interaction_type == "rating":
        return weight * value / 100.0
    return weight


_interaction = msgspec.json.Decoder(Interaction)
_interactions = msgspec.json.Decoder(list[Interaction])


def decode_interaction(payload: bytes | msgspec.Raw) -> Interaction:
    """Decodes one event. Raises ContractError naming the field and what is allowed."""
    try:
        return decode(_interaction, payload)
    except ContractError as error:
        if error.field == "interaction_type" and "Invalid enum value" in str(error):
            raise ContractError(f"{error}; allowed: {', '.join(INTERACTION_TYPES)}", error.field) from None
        raise


def decode_message(payload: bytes) -> list[Interaction | ContractError]:
    """Decodes the value of one Kafka message: an event, or an array of events.

    A bad entry costs nothing but itself: it comes back as the ContractError that says why, in its place.
    Raises ContractError when the message as a whole can't be read, or most of it is bad.
    """
    if payload.lstrip()[:1] == b"[":
        with suppress(*DECODER_ERRORS):  # an array without a bad entry, which most are, in one go
            events = _interactions.decode(payload)
            if count_containers(payload) <= len(events) + MOST_NESTING:
                return [*events]
    return one_or_many(payload, decode_interaction)
