"""One tree of exceptions with one base; every message is a sentence for the person who reads it."""

MOST_CHARACTERS = 500


class ReelstreamError(Exception):
    """Anything that reelstream raises on purpose. The command line prints it without a traceback."""


class SettingsError(ReelstreamError):
    """A setting is missing or wrong: names the variable, its value and what is allowed."""


class ContractError(ReelstreamError):
    """A message breaks the public contract.

    Attributes:
        field: the offending field (``post_id``), empty when the message as a whole can't be read.
        payload: the bad entry, when it was one of several in an array.
    """

    def __init__(self, message: str, field: str = "", payload: bytes = b"") -> None:
        super().__init__(printable(message))
        self.field = printable(field)
        self.payload = payload


class ServiceUnavailable(ReelstreamError):
    """Kafka, Redis or PostgreSQL did not answer in time; the same call may succeed later."""


def printable(text: str, most: int = MOST_CHARACTERS) -> str:
    """What strangers wrote, safe to encode, to log and to print: at most `most` characters, a longer text ends in `…`.

    Control characters would rule a terminal, and half a surrogate pair can't be encoded: both are written as escapes.
    """
    shown = text[:most]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return shown if len(shown) <= most and len(text) <= most else shown[: most - 1] + "…"
