"""The state directory of `reelstream up`: its lock, and the file in which other commands find what runs."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from schemas.errors import ReelstreamError

DEFAULT = Path(".reelstream")
NEEDED_BYTES = 256 << 20
"""A fresh PostgreSQL takes 60 MB, the demo data set with its logs as much again."""


class Running(msgspec.Struct, kw_only=True):
    """services.json: a running `up`. environment: the variables its children were given."""

    pid: int
    url: str
    environment: dict[str, str]


@contextlib.contextmanager
def locked(state: Path) -> Iterator[None]:
    """Makes the directory and holds its lock. Raises ReelstreamError: unusable, full, or in use by another `up`."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)  # other users of the machine need not read it
        (state / "logs").mkdir(exist_ok=True)
        lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ReelstreamError(
            f"The state directory {state} can't be written ({error.strerror}): choose another with --data."
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 32, 0).decode().strip() or "unknown"
            raise ReelstreamError(
                f"{state} is in use by another `reelstream up` (pid {pid}): stop that one, or choose another "
                "directory with --data."
            ) from None
        free = shutil.disk_usage(state).free
        if free < NEEDED_BYTES:
            raise ReelstreamError(
                f"The disk of {state} has {free >> 20} MB left and {NEEDED_BYTES >> 20} MB are needed: free some, or "
                "choose another directory with --data."
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def write_running(state: Path, running: Running) -> None:
    """Leaves services.json for other commands; only its owner may read it, because an address may hold a password."""
    path = state / "services.json"
    making = path.with_suffix(".new")
    making.touch(mode=0o600)
    making.write_bytes(msgspec.json.format(msgspec.json.encode(running), indent=2))
    making.rename(path)


def read_running(state: Path) -> Running | None:
    """The `up` that runs on this directory, if one does: its lock is the proof, a pid may be somebody else's by now."""
    try:
        with (state / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        pass
    except OSError:
        return None
    try:
        return msgspec.json.decode((state / "services.json").read_bytes(), type=Running)
    except FileNotFoundError:
        return None
