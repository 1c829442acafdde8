"""Runs children: starts them, restarts what dies, gives up on what keeps dying, stops them in order."""

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import ReelstreamError

from .child import Child, until_ready

FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0
WINDOW_SECONDS = 60.0
"""A child that lived this long starts again with FIRST_DELAY; one that died MAX_DEATHS times in it is given up."""
MAX_DEATHS = 5
TAIL_LINES = 15
MAX_LOG_BYTES = 16 << 20

Hook = Callable[[], Awaitable[None]]


@dataclass
class _Watched:
    child: Child
    after_restart: Hook | None
    process: Process
    started: float
    delay: float
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_DEATHS))
    stopping: bool = False
    watcher: asyncio.Task[int] | None = None


class Supervisor:
    """Looks after children from one event loop, in the main thread (Linux ends a child with the thread it came from).

    logs: folder for one `NAME.log` a child; None: children write where we write. say: prints a line for the reader.
    first_delay: seconds before the first restart; it doubles up to LONGEST_DELAY.
    failure: an exception is set on it when a child was given up; whoever runs the supervisor waits on it.
    """

    def __init__(self, logs: Path | None, say: Callable[[str], None], first_delay: float = FIRST_DELAY) -> None:
        self._logs = logs
        self._first_delay = first_delay
        self._say = say
        self._watched: dict[str, _Watched] = {}
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, child: Child, *, timeout: float = 60, after_restart: Hook | None = None) -> None:
        """Starts a child and waits until it is ready.

        after_restart: awaited each time the child had died and is ready again.
        Raises ReelstreamError when it isn't ready within `timeout` seconds or was given up before.
        """
        await self._begin(child, after_restart)
        try:
            await self._ready_or_failure(child, timeout)
        except ReelstreamError as error:
            raise ReelstreamError(f"{error}{self.log_tail(child.name)}") from None

    async def _begin(self, child: Child, after_restart: Hook | None) -> None:
        watched = _Watched(child, after_restart, await self._spawn(child), time.monotonic(), self._first_delay)
        self._watched[child.name] = watched
        watched.watcher = self._watcher(watched)

    async def _ready_or_failure(self, child: Child, timeout: float) -> None:
        ready = asyncio.create_task(until_ready(child, timeout))
        try:
            await asyncio.wait({ready, self.failure}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise ReelstreamError(f"{child.name} could not be started.")
            ready.result()
        finally:
            ready.cancel()

    async def finished(self, name: str) -> int:
        """Waits for a child that `ends`; returns its exit status."""
        watcher = self._watched[name].watcher
        return await asyncio.shield(watcher) if watcher is not None else 0

    async def restart(self, name: str, grace: float = 3) -> None:
        """Stops a child and starts it again, without waiting for it to be ready; nothing when it was not started."""
        if (old := self._watched.get(name)) is not None:
            await self.stop(name, grace=grace)
            await self._begin(old.child, old.after_restart)

    async def stop(self, *names: str, grace: float) -> None:
        """Stops children side by side: their stop signal, then after `grace` seconds SIGKILL to what is left."""
        await asyncio.gather(*(self._stop(self._watched.pop(name), grace) for name in names if name in self._watched))

    async def stop_all(self, grace: float) -> None:
        """Stops whatever runs, the newest first."""
        for name in reversed(list(self._watched)):
            await self.stop(name, grace=grace)

    def log_tail(self, name: str) -> str:
        """The last lines of a child's log, each on a line of its own; empty when there are none."""
        if self._logs is None:
            return ""
        path = self._logs / f"{name}.log"
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 16_384))
            lines = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        return "".join(f"\n  {line}" for line in [f"the end of {path}:", *lines]) if lines else ""

    async def _spawn(self, child: Child) -> Process:
        output = None
        if self._logs is not None:
            path = self._logs / f"{child.name}.log"
            if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
                path.rename(path.with_suffix(".log.1"))
            output = path.open("ab")
        try:
            return await asyncio.create_subprocess_exec(
                *child.command, stdin=DEVNULL, stdout=output, stderr=STDOUT if output else None,
                **child.popen_arguments(),
            )  # fmt: skip
        finally:
            if output is not None:
                output.close()

    def _watcher(self, watched: _Watched) -> asyncio.Task[int]:
        task = asyncio.create_task(self._watch(watched))

        def done(task: asyncio.Task[int]) -> None:
            # A watcher that broke (a hook failed, a program is gone) looks after nothing any more: end everything.
            if not task.cancelled() and (error := task.exception()) and not self.failure.done():
                self.failure.set_exception(error)

        task.add_done_callback(done)
        return task

    async def _watch(self, watched: _Watched) -> int:
        """Restarts the child each time it dies, until it is stopped, ends well, or is given up."""
        child = watched.child
        while True:
            status = await watched.process.wait()
            if watched.stopping or child.ends:
                return status
            _kill_group(watched.process.pid)
            now = time.monotonic()
            if now - watched.started >= WINDOW_SECONDS:
                watched.delay = self._first_delay
            watched.deaths.append(now)
            if len(watched.deaths) == MAX_DEATHS and now - watched.deaths[0] < WINDOW_SECONDS:
                self._give_up(child.name, status)
                return status
            self._say(f"{child.name} {_how(status)}; starting it again in {watched.delay:g} s")
            await asyncio.sleep(watched.delay)
            watched.delay = min(watched.delay * 2, LONGEST_DELAY)
            if watched.stopping:
                return status
            watched.process, watched.started = await self._spawn(child), time.monotonic()
            if watched.after_restart is not None:
                await self._recover(watched)

    async def _recover(self, watched: _Watched) -> None:
        name, hook = watched.child.name, watched.after_restart
        ready = asyncio.create_task(until_ready(watched.child, WINDOW_SECONDS))
        died = asyncio.create_task(watched.process.wait())
        try:
            await asyncio.wait({ready, died}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and hook is not None:
                ready.result()
                await hook()
        except ReelstreamError as error:
            raise ReelstreamError(f"{name} was started again, but: {error}") from None
        finally:
            ready.cancel()
            died.cancel()

    def _give_up(self, name: str, status: int) -> None:
        if not self.failure.done():
            self.failure.set_exception(
                ReelstreamError(
                    f"{name} {_how(status)} for the {MAX_DEATHS}th time within {WINDOW_SECONDS:.0f} s."
                    f"{self.log_tail(name)}"
                )
            )

    async def _stop(self, watched: _Watched, grace: float) -> None:
        watched.stopping = True
        process = watched.process
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(watched.child.stop_signal)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace)
        _kill_group(process.pid)
        if process.returncode is None:
            await process.wait()
        if watched.watcher is not None:
            watched.watcher.cancel()
            await asyncio.wait({watched.watcher})


def _kill_group(pid: int) -> None:
    """Ends what a child left behind: the group outlives its leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _how(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
