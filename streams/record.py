"""A Kafka message as the agents read it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schemas.contract import HEADERS
from schemas.forgetting import FORGET


class Record(NamedTuple):
    """at: seconds since 1970, when it was produced; 0 when unknown. value: None deletes the key. headers: those of
    schemas.contract.HEADERS and FORGET, which go along wherever the message is sent on to."""

    topic: str
    partition: int
    offset: int
    at: float
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def kept_headers(
    headers: Mapping[str, bytes] | Sequence[tuple[str, bytes]] | None,
) -> tuple[tuple[str, bytes], ...]:
    """The headers of a message that are passed on; most messages have none."""
    if not headers:
        return ()
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return tuple((name, value) for name, value in pairs if name in HEADERS or name == FORGET)
