"""One tree of exceptions with one base; every message is a sentence for the person who reads it."""


class ReelstreamError(Exception):
    """Anything that reelstream raises on purpose. The command line prints it without a traceback."""


class SettingsError(ReelstreamError):
    """A setting is missing or wrong: names the variable, its value and what is allowed."""


class ContractError(ReelstreamError):
    """A message breaks the public contract.

    Attributes:
        field: the offending field (``post_id``), empty when the message as a whole can't be read.
        payload: the bad entry, when it was one of an array.
    """

    def __init__(self, message: str, field: str = "", payload: bytes = b"") -> None:
        super().__init__(message)
        self.field = field
        self.payload = payload


class ServiceUnavailable(ReelstreamError):
    """Kafka, Redis or PostgreSQL did not answer in time; the same call may succeed later."""
