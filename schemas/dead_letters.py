"""Dead letters: messages that could not be decoded or break the contract (topic `dead-letters`, key: source topic)."""

import base64

import msgspec


class DeadLetter(msgspec.Struct, kw_only=True):
    """Where a bad message, or entry `index` of an array, came from; why it was refused; and what it said.

    payload: text as it came, or base64 when it is not UTF-8 (`encoding` tells which).
    """

    topic: str
    partition: int
    offset: int
    index: int
    reason: str
    field: str
    payload: str
    encoding: str

    @classmethod
    def of(
        cls, payload: bytes, *, topic: str, partition: int, offset: int, index: int, reason: str, field: str
    ) -> "DeadLetter":
        try:
            text, encoding = payload.decode(), "utf-8"
        except UnicodeDecodeError:
            text, encoding = base64.b64encode(payload).decode(), "base64"
        return cls(
            topic=topic, partition=partition, offset=offset, index=index, reason=reason, field=field, payload=text,
            encoding=encoding,
        )  # fmt: skip


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(DeadLetter).decode
