"""Rows of the external API, checked: what can't be used raises a ContractError whose message is the reason to skip."""

import re
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from schemas.errors import ContractError, ReelstreamError
from schemas.events import MOST_ID, MOST_SECONDS_AHEAD
from schemas.posts import decode_post
from schemas.users import User

from .kinds import Kind

MOST_POST_BYTES = 900_000
"""Brokers take messages of 1 MB."""
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_ATTRIBUTES = (
    "user_type", "profile_url", "website_url", "is_verified", "has_wallet", "post_count", "following_count",
    "follower_count", "share_count", "gender",
)  # fmt: skip
"""Neither places and e-mail addresses, which are personal, nor last_login and is_online, which change by the hour."""
_object = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class WrongMode(ReelstreamError):
    """Posts came where interactions were asked for."""


class InteractionRow(NamedTuple):
    """at: when it happened. value: of the event it makes (schemas.events.Interaction)."""

    id: int
    user_id: int
    post_id: int
    value: float
    at: datetime


class UserRow(NamedTuple):
    """message: the row as topic `users` has it, without e-mail addresses."""

    id: int
    user: User
    message: bytes


class PostRow(NamedTuple):
    """message: the row as upstream sent it."""

    id: int
    message: bytes


def read_interaction(kind: Kind, raw: msgspec.Raw) -> InteractionRow:
    """A row of views, likes, inspires or ratings. Raises ContractError, and WrongMode for a post."""
    row = _read(raw)
    if "title" in row:
        raise WrongMode(
            f"{kind.path} answered with posts, not with everybody's interactions, as it does where RESONANCE_ALGORITHM "
            "is missing or wrong. They are one person's history: nothing of this page was collected. Correct "
            "RESONANCE_ALGORITHM and collect again."
        )
    value = 1.0
    if kind.value is not None:
        found = row.get(kind.value)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 100:
            raise ContractError(f"{kind.value} is no number from 0 to 100", kind.value)
        value = float(found)
    return InteractionRow(
        _whole(row, "id", 1), _whole(row, "user_id", 0), _whole(row, "post_id", 1), value, _time(row, kind.time)
    )


def read_user(raw: msgspec.Raw) -> UserRow:
    """A row of users. Raises ContractError; also for a name that is an e-mail address, which we don't keep."""
    row = _read(raw)
    username = row.get("username")
    if not isinstance(username, str) or not 1 <= len(username) <= 128 or "\0" in username:
        raise ContractError("username is missing, or not 1 to 128 characters", "username")
    if _EMAIL.fullmatch(username):
        raise ContractError("username is an e-mail address, which is not kept", "username")
    user = User(
        username=username, id=_whole(row, "id", 0), role=_text(row, "role"), first_name=_text(row, "first_name"),
        last_name=_text(row, "last_name"), bio=_text(row, "bio"),
        attributes={name: _without_email(row[name]) for name in _ATTRIBUTES if row.get(name) not in (None, "")},
    )  # fmt: skip
    return UserRow(user.id or 0, user, _encode(user))


def read_post(raw: msgspec.Raw) -> PostRow:
    """A post, with all its fields. Raises ContractError."""
    message = bytes(raw)
    if len(message) > MOST_POST_BYTES:
        raise ContractError(f"the row has more than {MOST_POST_BYTES} bytes")
    try:
        return PostRow(decode_post(message).id, message)
    except ContractError as error:
        raise ContractError(f"{error.field or 'the row'} breaks the contract of posts", error.field) from None


def _read(raw: msgspec.Raw) -> dict[str, Any]:
    try:
        return _object.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ContractError("the row is no JSON object") from None


def _whole(row: dict[str, Any], name: str, least: int) -> int:
    value = row.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_ID:
        raise ContractError(f"{name} is no whole number from {least}", name)
    return value


def _time(row: dict[str, Any], name: str) -> datetime:
    """Naive times are UTC. Years before 1971, and days ahead, would be refused by the workers."""
    try:
        at = datetime.fromisoformat(row.get(name) or "")
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        sound = at.year >= 1971 and at.timestamp() < time.time() + MOST_SECONDS_AHEAD
    except (TypeError, ValueError, OverflowError):
        sound = False
    if not sound:
        raise ContractError(f"{name} is no time from 1971 to now", name)
    return at


def _text(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    return (_without_email(value) or None) if isinstance(value, str) else None


def _without_email(value: Any) -> Any:
    return _EMAIL.sub("", value).replace("\0", "").strip() if isinstance(value, str) else value
