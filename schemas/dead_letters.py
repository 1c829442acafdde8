"""Dead letters: messages that could not be decoded or break the contract (topic `dead-letters`, key: source topic)."""

import base64

import msgspec

from .errors import ContractError, printable

MOST_BYTES = 256 * 1024
"""Of a payload. Its letter takes at most 0.6 MB, and brokers take 1 MB a message unless told otherwise."""


class DeadLetter(msgspec.Struct, kw_only=True):
    """Where a bad message, or entry `index` of an array, came from; why it was refused; and what it said.

    payload: text as it came, or base64 when it is not UTF-8, or not legible (`encoding` tells which).
    of_array: it is one entry of an array of several, not a whole message.
    deletion: the message had a null value; the payload is its key.
    produced_at: when the message was produced, in seconds since 1970; 0 when unknown.
    size: of the payload in bytes; cut: only the first MOST_BYTES of them are here.
    """

    topic: str
    partition: int
    offset: int
    index: int
    reason: str
    field: str
    payload: str
    encoding: str
    of_array: bool = False
    deletion: bool = False
    produced_at: float = 0.0
    size: int = 0
    cut: bool = False

    @classmethod
    def of(
        cls, payload: bytes, *, topic: str, partition: int, offset: int, index: int, reason: str, field: str,
        of_array: bool = False, deletion: bool = False, produced_at: float = 0.0,
    ) -> "DeadLetter":  # fmt: skip
        """A letter that fits into a message, whatever the payload and the reason are."""
        text, encoding = _as_text(payload[:MOST_BYTES], len(payload) > MOST_BYTES)
        return cls(
            topic=topic, partition=partition, offset=offset, index=index, reason=printable(reason),
            field=printable(field), payload=text, encoding=encoding, of_array=of_array, deletion=deletion,
            produced_at=produced_at, size=len(payload), cut=len(payload) > MOST_BYTES,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """Short and stable: `interactions-2-1041-0` is topic, partition, offset and index."""
        return f"{self.topic}-{self.partition}-{self.offset}-{self.index}"

    @property
    def source(self) -> bytes:
        """The payload as it came. Raises ContractError when the letter can't be decoded."""
        if self.encoding == "utf-8":
            return self.payload.encode()
        try:
            return base64.b64decode(self.payload, validate=True)
        except ValueError:
            raise ContractError(f"the payload is not {self.encoding}", "payload") from None


def _as_text(payload: bytes, cut: bool) -> tuple[str, str]:
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        if not cut or error.start < len(payload) - 3:
            return base64.b64encode(payload).decode(), "base64"
        text = payload[: error.start].decode()  # cut in the middle of a character
    # Control characters take six bytes each in JSON; quotes, which every JSON payload is full of, take two.
    if len(msgspec.json.encode(text)) > 2 * len(payload) + 2:
        return base64.b64encode(payload).decode(), "base64"
    return text, "utf-8"


encode = msgspec.json.Encoder().encode
_letter = msgspec.json.Decoder(DeadLetter)


def decode(payload: bytes | None) -> DeadLetter:
    """Raises ContractError for a message that is no dead letter."""
    try:
        return _letter.decode(payload or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ContractError(f"not a dead letter: {error}") from None
