"""Users: rows as publishers send them (topic `users`, `POST /api/v1/users`). E-mail addresses are not kept."""

from typing import Annotated, Any

import msgspec

from .decoding import decode, one_or_many, refuse_nul
from .errors import ContractError
from .events import Username

_NOT_KEPT = ("email", "latitude", "longitude")
"""Personal data that no model needs."""


UserId = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class User(msgspec.Struct, kw_only=True):
    """A user row; only `username` is required. `attributes` is free."""

    username: Username
    id: UserId | None = None
    role: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    bio: str | None = None
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)


_row = msgspec.json.Decoder(User)


def decode_user(payload: bytes | msgspec.Raw) -> User:
    """Decodes one row. Raises ContractError naming the field and what is allowed."""
    user = decode(_row, payload)
    refuse_nul(payload)
    user.attributes = {key: value for key, value in user.attributes.items() if key not in _NOT_KEPT}
    return user


def deleted_user(key: bytes | None) -> str:
    """The user that a null value under this key deletes. Raises ContractError."""
    try:
        username = (key or b"").decode()
    except UnicodeDecodeError:
        username = ""
    if not 1 <= len(username) <= 128 or "\0" in username:
        raise ContractError("the key of a deletion is a username in UTF-8, 1 to 128 characters without NUL", "key")
    return username


def decode_users(payload: bytes) -> list[User | ContractError]:
    """Decodes one row or an array of rows; a bad row comes back as the ContractError that says why, in its place."""
    return one_or_many(payload, decode_user)


encode = msgspec.json.Encoder().encode
