"""Faults that the stand-in shows when asked to."""

from typing import Any, Literal, get_args

import msgspec

FaultKind = Literal["status", "slow", "cut", "garbage", "redirect", "empty", "truncated", "repeated", "wrong_mode"]
KINDS: tuple[str, ...] = get_args(FaultKind)


class Fault(msgspec.Struct, kw_only=True):
    """What goes wrong with requests.

    kind: `status` answers `status`, with Retry-After where `retry_after` is set; `slow` waits `seconds` first; `cut`
    ends the connection in the middle of the body; `garbage` answers what is no JSON; `redirect` is what upstream does
    without a valid token; `empty` and `truncated` leave out all rows or the second half; `repeated` answers the page
    before; `wrong_mode` answers posts where interactions are asked for.
    path, page: of which requests; None: any. times: how many more of them.
    """

    kind: FaultKind
    path: str | None = None
    page: int | None = None
    times: int = 1
    status: int = 503
    retry_after: int | None = None
    seconds: float = 1.0


class Faults:
    """The faults to come, in the order they were asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, kind: FaultKind, **fields: Any) -> None:
        self._faults.append(Fault(kind=kind, **fields))

    def put(self, faults: list[Fault]) -> None:
        """Instead of whatever was to come."""
        self._faults = list(faults)

    def take(self, path: str, page: int) -> Fault | None:
        """The fault of a request, if it has one."""
        for fault in self._faults:
            if fault.path in (None, path) and fault.page in (None, page) and fault.times > 0:
                fault.times -= 1
                return fault
        return None
