"""Visits: a feed that is paged through, as Redis keeps it, and the cursors that point into it.

The list of a visit is frozen when its first page is served: whatever is learnt meanwhile, no page shows a post of
another. A cursor is signed with a secret that only the visit has, so every API process takes those of the others, no
key has to be shared or kept, and a cursor dies with its visit.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from array import array
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import pack, unpack
from .errors import ContractError

MOST_FROZEN = 500
"""Posts of a frozen list: 10 pages of the largest size. At 3 bytes a post 1.5 KB a visit."""
MOST_VISITS = 8
"""Visits of a reader; the oldest go."""
MOST_SERVED = 100
"""Pages that a session keeps in mind; the oldest go."""

_VERSION = 2
_VISIT = struct.Struct("<B8s16s8sQH")
_PAGE = struct.Struct("<8sH")
_CURSOR = struct.Struct("<B8sHQI")
_MAC_BYTES = 16


class Visit(NamedTuple):
    """id: 8 random bytes. secret: 16. query: digest of the parameters, 8 bytes. newest: largest post id at that time.

    posts: ids in the order to show. Behind them come all other posts, by descending id.
    """

    id: bytes
    secret: bytes
    query: bytes
    newest: int
    posts: "array[int]"

    @classmethod
    def begin(cls, query: bytes, newest: int, posts: NDArray[np.int64]) -> "Visit":
        """posts (r,): ids up to `newest`."""
        drawn, code = secrets.token_bytes(24), "I" if newest >> 32 == 0 else "Q"
        return cls(drawn[:8], drawn[8:], query, newest, array(code, posts.astype(code).tobytes()))

    def encode(self) -> bytes:
        header = _VISIT.pack(_VERSION, self.id, self.secret, self.query, self.newest, len(self.posts))
        return b"".join([header, *pack(self.posts)])


class Cursor(NamedTuple):
    """Where the next page begins. place: in the frozen list. below: behind it, only posts with a smaller id; 0: all.

    page: its number, from 1.
    """

    visit: bytes
    place: int
    below: int
    page: int


def digest(*parts: object) -> bytes:
    """8 bytes that stand for what a list was asked with."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()


def decode_visit(payload: bytes) -> Visit | None:
    """None for what another version wrote."""
    if payload[:1] != bytes([_VERSION]):
        return None
    _, visit_id, secret, query, newest, count = _VISIT.unpack_from(payload)
    return Visit(visit_id, secret, query, newest, unpack(payload, _VISIT.size, count)[0])


def encode_page(visit: bytes, posts: list[int]) -> bytes:
    """A served page, of the visit with that id."""
    return b"".join([_PAGE.pack(visit, len(posts)), *pack(array("Q", posts))])


def decode_page(payload: bytes) -> tuple[bytes, "array[int]"]:
    """The id of the visit, and the posts."""
    visit, count = _PAGE.unpack_from(payload)
    return visit, unpack(payload, _PAGE.size, count)[0]


def sign(cursor: Cursor, visit: Visit) -> str:
    """The cursor as clients carry it: 52 characters, safe in an address."""
    body = _CURSOR.pack(_VERSION, *cursor)
    return base64.urlsafe_b64encode(body + _mac(visit, body)).decode().rstrip("=")


def read_cursor(text: str, visits: list[Visit]) -> tuple[Cursor, Visit]:
    """What a signed cursor says, and the visit it belongs to, one of the reader's. Raises ContractError."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refused("was changed on its way or is not from here") from None
    if raw[:1] != bytes([_VERSION]):
        raise _refused("is of another version, or not from here")
    if len(raw) != _CURSOR.size + _MAC_BYTES:
        raise _refused("was changed on its way or is not from here")
    _, *fields = _CURSOR.unpack_from(raw)
    cursor = Cursor(*fields)
    visit = next((visit for visit in visits if visit.id == cursor.visit), None)
    if visit is None:
        raise _refused("is too old, or of another user or session")
    if not hmac.compare_digest(raw[_CURSOR.size :], _mac(visit, raw[: _CURSOR.size])):
        raise _refused("was changed on its way or is not from here")
    return cursor, visit


def _refused(why: str) -> ContractError:
    return ContractError(
        f"the cursor {why}; allowed is the next_cursor of the page before, as it came. Without one you begin anew",
        "cursor",
    )


def _mac(visit: Visit, body: bytes) -> bytes:
    """Keyed BLAKE2b (RFC 7693): a microsecond, where an HMAC of SHA-256 took 2 % of a feed."""
    return hashlib.blake2b(body, digest_size=_MAC_BYTES, key=visit.secret).digest()
