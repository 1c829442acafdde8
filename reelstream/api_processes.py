"""`reelstream api --processes N`: several API processes behind one port, looked after."""

import socket
import tempfile
from collections.abc import Callable

from schemas.errors import ReelstreamError

from . import parts
from .child import Child
from .together import run_together


async def run_processes(host: str, port: int, count: int, say: Callable[[str], None]) -> None:
    """Runs until SIGINT or SIGTERM. Raises ReelstreamError when the port can't be used or a process keeps dying."""
    # In the folder each keeps its counts, and whichever is asked for /metrics adds them up (api.metrics).
    with listening(host, port) as listener, tempfile.TemporaryDirectory(prefix="reelstream-metrics-") as counts:
        fd = listener.fileno()
        command = [*parts.COMMAND, "api", "--host", host, "--port", str(port), "--fd", str(fd)]
        env = {"PROMETHEUS_MULTIPROC_DIR": counts}
        await run_together(
            [Child(name=f"api-{slot}", command=command, fds=(fd,), env=env) for slot in range(count)], say
        )


def listening(host: str, port: int) -> socket.socket:
    """One socket for all of them, whose connections the kernel hands to whichever asks first: with SO_REUSEPORT it
    would also hand them to one that is dying, and two APIs could share a port by mistake."""
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise ReelstreamError(
            f"Port {port} of {host} can't be used ({error.strerror}): stop what listens there, or choose another with "
            "`--port`."
        ) from None
