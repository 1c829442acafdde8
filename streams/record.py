"""A Kafka message as the agents read it."""

from typing import NamedTuple


class Record(NamedTuple):
    """at: seconds since 1970, when it was produced; 0 when unknown. value: None deletes the key."""

    topic: str
    partition: int
    offset: int
    at: float
    key: bytes | None
    value: bytes | None
