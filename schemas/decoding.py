"""Decoding what publishers send: a complaint of the decoder becomes a ContractError that names the field."""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from .errors import ContractError

T = TypeVar("T")

_missing = re.compile(r"missing required field `([^`]*)`")
_path = re.compile(r"\s*- at `\$(?:\[\d*\]|\[\.\.\.\])*\.?([^`]*)`")
_entries = msgspec.json.Decoder(list[msgspec.Raw])


def contract_error(error: Exception) -> ContractError:
    """Turns a decoder's complaint into one that names the field."""
    text = str(error)
    paths = _path.findall(text) or _missing.findall(text)
    field = paths[0] if paths else ""
    message = _path.sub("", text)
    return ContractError(f"{field}: {message}" if field else message, field)


def decode(decoder: msgspec.json.Decoder[T], payload: bytes | msgspec.Raw) -> T:
    """Raises ContractError for whatever the decoder can't read, too deep nesting included."""
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise contract_error(error) from None


def entries(payload: bytes) -> list[msgspec.Raw]:
    """The entries of a JSON array, undecoded. Raises ContractError."""
    return decode(_entries, payload)


def decode_each(found: list[msgspec.Raw], decode_one: Callable[[msgspec.Raw], T]) -> list[T | ContractError]:
    """A bad entry costs nothing but itself: it comes back as the ContractError that says why, in its place."""
    results: list[T | ContractError] = []
    for entry in found:
        try:
            results.append(decode_one(entry))
        except ContractError as error:
            error.payload = bytes(entry)
            results.append(error)
    return results


def one_or_many(payload: bytes, decode_one: Callable[[bytes | msgspec.Raw], T]) -> list[T | ContractError]:
    """Decodes one object, or each of an array. Raises ContractError when the message as a whole can't be read."""
    if payload.lstrip()[:1] != b"[":
        return [decode_one(payload)]
    return decode_each(entries(payload), decode_one)


def refuse_nul(payload: bytes | msgspec.Raw) -> None:
    """PostgreSQL's text and JSON can't hold NUL. Raises ContractError for a row that has it anywhere."""
    if b"\\u0000" in bytes(payload):
        raise ContractError("the character NUL (\\u0000) is not allowed")
