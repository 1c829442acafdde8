"""Decoding what publishers send: a complaint of the decoder becomes a ContractError that names the field."""

import json
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from .errors import ContractError

T = TypeVar("T")

MOST_NESTING = 64
"""Levels of arrays and objects. Without a bound of its own the limit would be the interpreter's, at some 980 less the
depth of the caller, so that one process would take a message that the next one refuses."""
MOST_REFUSED = 1_000
"""Entries of one array. A message of 900 KB holds 450,000 entries; a dead letter for each would take 100 MB."""
DECODER_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_DEEP = f"arrays and objects nest deeper than {MOST_NESTING} levels"
_path = re.compile(r"(?:\[\d*\]|\[\.\.\.\])*\.?([^`]*)`")
_missing = re.compile(r"Object missing required field `([^`]*)`")
# A string, a bracket or a comma; a quote of its own opens a string that never ends.
_token = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},"]', re.DOTALL)
_OPENING, _CLOSING = (b"[", b"{"), (b"]", b"}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_nul = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
_entries = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_lenient = json.JSONDecoder(parse_int=float)


def decode(decoder: msgspec.json.Decoder[T], payload: bytes | msgspec.Raw) -> T:
    """Raises ContractError for whatever the decoder can't read, and for what nests deeper than MOST_NESTING."""
    try:
        decoded = decoder.decode(payload)
    except DECODER_ERRORS as error:
        raise _contract_error(error, bytes(payload)) from None
    if count_containers(bytes(payload)) > MOST_NESTING and _nests_too_deep(bytes(payload)):
        raise ContractError(_DEEP)
    return decoded


def count_containers(payload: bytes) -> int:
    """At least the number of arrays and objects, and so of levels; brackets in strings count too."""
    return payload.count(b"[") + payload.count(b"{")


def entries(payload: bytes) -> list[msgspec.Raw]:
    """The entries of a JSON array, undecoded, also of an array that only some of its entries make malformed.

    Raises ContractError.
    """
    try:
        return _entries.decode(payload)
    except DECODER_ERRORS as error:
        if (found := _split(payload)) is None:
            raise _contract_error(error, payload) from None
        return found


def decode_each(found: list[msgspec.Raw], decode_one: Callable[[msgspec.Raw], T]) -> list[T | ContractError]:
    """A bad entry costs nothing but itself: it comes back as the ContractError that says why, in its place.

    Raises ContractError for the array as a whole when more than MOST_REFUSED entries are bad.
    """
    results: list[T | ContractError] = []
    refused = 0
    for entry in found:
        try:
            results.append(decode_one(entry))
        except ContractError as error:
            refused += 1
            if refused > MOST_REFUSED:
                raise too_many_refused(error) from None
            if len(found) > 1:
                error.payload = bytes(entry)
            results.append(error)
    return results


def too_many_refused(error: ContractError) -> ContractError:
    """Why an array is refused as a whole; `error` is that of one of its entries."""
    return ContractError(
        f"more than {MOST_REFUSED} entries of the array are refused, one of them: {error}", error.field
    )


def one_or_many(payload: bytes, decode_one: Callable[[bytes | msgspec.Raw], T]) -> list[T | ContractError]:
    """Decodes one object, or each of an array. Raises ContractError when the message as a whole can't be read."""
    if payload.lstrip()[:1] != b"[":
        return [decode_one(payload)]
    return decode_each(entries(payload), decode_one)


def refuse_nul(payload: bytes | msgspec.Raw) -> None:
    """PostgreSQL's text and JSON can't hold NUL. Raises ContractError for a JSON object that has it anywhere."""
    payload = bytes(payload)
    if b"\\u0000" in payload and _nul.search(payload):
        names = [name for name, value in decode(_fields, payload).items() if "\0" in name or _nul.search(bytes(value))]
        field = names[0] if names else ""
        raise _named(field, "the character NUL (\\u0000) is not allowed")


def _contract_error(error: Exception, payload: bytes) -> ContractError:
    """Turns a decoder's complaint into one that names the field.

    The complaint may quote the payload: it is taken apart from its end, which is the decoder's own.
    """
    if isinstance(error, RecursionError):
        return ContractError(_DEEP)
    message, at, rest = str(error).rpartition("`$")
    message, place, kind = message.rpartition(" - at ")
    if at and place and kind in ("", "`key` in ") and (path := _path.fullmatch(rest)):
        field = path[1]
    else:
        message = str(error)
        field = missing[1] if (missing := _missing.match(message)) else ""
    unnamed = not field and (not isinstance(error, msgspec.ValidationError) or "out of range" in message[:30])
    if unnamed and (fault := _find_fault(payload)):
        return fault
    return _named(field, message)


def _named(field: str, message: str) -> ContractError:
    return ContractError(f"{field}: {message}" if field else message, field)


def _find_fault(payload: bytes) -> ContractError | None:
    """Names the field of what the decoder only calls malformed: text that is not UTF-8, NaN; None for anything else."""
    try:
        whole = _lenient.decode(payload.decode("utf-8", "surrogateescape"))
        for name, value in whole.items() if isinstance(whole, dict) else [("", whole)]:
            if fault := _fault(name) or _fault(value):
                return _named(name, fault)
    except (ValueError, RecursionError):
        pass
    return None


def _fault(value: object) -> str:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return 'text has to be UTF-8, and half a surrogate pair (as in "\\ud83d") is no character'
    except ValueError:
        return "NaN, Infinity and numbers past 1.8e308 are not allowed"
    return ""


def _split(payload: bytes) -> list[msgspec.Raw] | None:
    """The entries of an array whose outline is sound, whatever is between its commas: what a decoder can't read, NaN
    or half a surrogate pair from Python and JavaScript for one, spoils the entry that has it and not its neighbours."""
    text = payload.strip(b" \t\r\n")
    found, start, depth = [], 1, 0
    for token in _token.finditer(text):
        kind = token[0]
        depth += (kind in _OPENING) - (kind in _CLOSING)
        if kind == b'"':
            return None
        if depth == 0 or (depth == 1 and kind == b","):
            entry = text[start : token.start()].strip(b" \t\r\n")
            if not entry:
                return None
            found.append(msgspec.Raw(entry))
            start = token.end()
            if depth == 0:
                return found if start == len(text) else None
    return None


def _nests_too_deep(payload: bytes) -> bool:
    # Innermost pairs go, level by level: 3 µs for a post with 80 objects, where looking at each token takes 140 µs.
    brackets = payload.translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(MOST_NESTING):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    depth = 0  # too deep, or brackets in strings
    for token in _token.finditer(payload):
        depth += (token[0] in _OPENING) - (token[0] in _CLOSING)
        if depth > MOST_NESTING:
            return True
    return False
