"""A child process: its command line, how it is run, and how to tell that it is ready."""

import asyncio
import ctypes
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import ReelstreamError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _yield_to_others(nice: int) -> None:
    """Lowers our priority, against other sessions too.

    Where Linux groups processes by session, each session gets the same share of a core, and a priority counts within
    one: at 0 and 15, each in its own, two processes got 2.03 s each of a core, and 2.32 and .09 s with this. What can't
    be had is done without.
    """
    ours = os.nice(nice)
    for _ in range(5):
        try:
            with open("/proc/self/autogroup", "w") as group:
                group.write(str(ours))
        except BlockingIOError:  # it takes one such change in a tenth of a second, of whomever
            time.sleep(0.1)
        except OSError:
            return
        else:
            return


@dataclass(frozen=True, kw_only=True)
class Child:
    """What to run in the foreground and how to look after it.

    ready: a probe that returns once the child serves, and raises as long as it doesn't; None: ready when started.
    env: added to our own environment. user: the numeric user and group to run as; None: ours.
    nice: added to our own priority number. fds: open files that it inherits. ends: the child does one job and is not
    started again.
    """

    name: str
    command: list[str]
    ready: Callable[[], Awaitable[None]] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    user: tuple[int, int] | None = None
    nice: int = 0
    fds: tuple[int, ...] = ()
    ends: bool = False

    def popen_arguments(self) -> dict[str, Any]:
        """Keyword arguments for subprocess.Popen and asyncio.create_subprocess_exec.

        The child leads a session of its own, so that Ctrl-C reaches only us and its whole group can be killed.
        """
        parent = os.getpid()

        def in_child() -> None:
            # Without this a SIGKILLed `up` would leave seven processes behind. Linux only; elsewhere they stay.
            if _libc is not None:
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)
            if self.nice:
                _yield_to_others(self.nice)

        arguments: dict[str, Any] = {
            "env": {**os.environ, **self.env},
            "start_new_session": True,
            "pass_fds": self.fds,
            "preexec_fn": in_child,
        }
        if self.user is not None:
            arguments |= {"user": self.user[0], "group": self.user[1], "extra_groups": []}
        return arguments


async def until_ready(child: Child, timeout: float) -> None:
    """Waits until the child's probe passes. Raises ReelstreamError with the probe's last answer after `timeout` s."""
    if child.ready is None:
        return
    last: Exception = ReelstreamError("no answer")
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    async with asyncio.timeout(5):
                        return await child.ready()
                except (OSError, ReelstreamError) as error:  # TimeoutError is an OSError
                    last = error
                await asyncio.sleep(0.05)
    except TimeoutError:
        reason = last or type(last).__name__
        raise ReelstreamError(f"{child.name} did not get ready in {timeout:.0f} s: {reason}") from None


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_port_pair() -> int:
    """A free port whose next one is free too: the controller of Apache Kafka takes that. Below those that the system
    hands out for connections: the next one of those was taken before Kafka was up, once in a run of everything."""
    while True:
        port = random.randrange(10_000, 32_000, 2)
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 1))
            return port
