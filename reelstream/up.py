"""`reelstream up`: everything on this machine, started in order, looked after, stopped in order."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ReelstreamError
from schemas.heartbeat import ROLES
from schemas.migrate import migrate
from schemas.settings import Settings

from . import parts
from .child import Child, free_port
from .data_set import DataSet
from .embedded import broker, postgres, valkey
from .state import Running, locked, write_running
from .supervisor import Supervisor
from .topics import create_topics

STOP_SECONDS = 8.5
"""For everything: a service manager commonly kills after 10."""
DRAIN_SECONDS = 4.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """port: of the API, 0 takes a free one. data: the state directory. data_set: a name or folder, or None."""

    port: int
    data: Path
    data_set: str | None
    train: bool


async def run(options: Options, settings: Settings, say: Callable[[str], None]) -> None:
    """Runs until SIGINT or SIGTERM. Raises ReelstreamError when a part can't be started or keeps dying."""
    port = options.port or free_port()
    _refuse_used(port)
    state = options.data.resolve()
    with locked(state):
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        system = _System(options, settings, state, port, say)
        work, stop = asyncio.create_task(system.start()), asyncio.create_task(stopping.wait())
        waiting: set[asyncio.Future[None] | asyncio.Task[None] | asyncio.Task[bool]]
        waiting = {work, stop, system.supervisor.failure}
        try:
            while stop in waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            say("stopping")
        finally:
            stop.cancel()
            work.cancel()
            await asyncio.wait({work})
            await system.stop()
    say(f"stopped; the state is kept in {options.data}")


def _refuse_used(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ReelstreamError(
                f"Port {port} can't be used ({error.strerror}): stop what listens there, or choose another with "
                "`--port`; `--port 0` takes a free one."
            ) from None


class _System:
    """The parts, and in which order they come and go."""

    def __init__(
        self, options: Options, settings: Settings, state: Path, port: int, say: Callable[[str], None]
    ) -> None:
        self.supervisor = Supervisor(state / "logs", say)
        self._options, self._settings, self._state, self._port, self._say = options, settings, state, port, say
        self._environment: dict[str, str] = {}
        self._applying = False

    async def start(self) -> None:
        """Starts everything in order and returns once the data set, if any, is loaded."""
        await self._start_services()
        environment, settings = self._environment, self._settings
        async with self._step("migrations"):
            await migrate(environment["DATABASE_URL"])
        async with self._step("topics"):
            await self._create_topics()
        workers = [parts.worker(role, 0, environment, environment["REDIS_URL"], time.time()) for role in ROLES]
        async with self._step("workers"):
            await asyncio.gather(*(self.supervisor.start(worker) for worker in workers))
        self._applying = True
        async with self._step("api", f"port {self._port}"):
            await self.supervisor.start(parts.api(self._port, environment))
        url = f"http://127.0.0.1:{self._port}"
        write_running(self._state, Running(pid=os.getpid(), url=url, environment=environment))
        self._say(f"ready {url}")
        data_set = DataSet(self._options.data_set, self._state, url, environment, self.supervisor, self._say)
        await data_set.load(self._caught_up)
        if self._options.train:
            await self.supervisor.start(parts.trainer(settings.train_every_minutes, environment))
        await data_set.stream_tail()

    async def _start_services(self) -> None:
        settings, environment = self._settings, self._environment
        if settings.kafka_bootstrap_servers is None:
            environment["KAFKA_IDEMPOTENCE"] = "false"  # Tansu 0.6 has no InitProducerId
            # It keeps a static member waiting for 6 s, the whole of its session, and so throws it out again.
            environment["KAFKA_STATIC_MEMBERSHIP"] = "false"
            if "kafka_fetch_max_wait_ms" not in settings.model_fields_set:
                environment["KAFKA_FETCH_MAX_WAIT_MS"] = "20"  # it does not wake a fetch when a message comes
        if "model_path" not in settings.model_fields_set:
            environment["MODEL_PATH"] = str(self._state / "models")
        await self._service(
            "broker", "KAFKA_BOOTSTRAP_SERVERS", broker.child, broker.address, broker.answers, self._broker_is_back
        )
        await self._service(
            "valkey", "REDIS_URL", lambda port: valkey.child(self._state, port), valkey.address, valkey.answers
        )
        await self._service(
            "postgres", "DATABASE_URL", lambda port: postgres.child(self._state, port), postgres.address,
            postgres.answers,
        )  # fmt: skip

    async def _service(
        self, name: str, variable: str, child: Callable[[int], Child], address: Callable[[int], str],
        answers: Callable[[str], Awaitable[None]], after_restart: Callable[[], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        """Starts a service on a free port, or checks the one that `variable` names."""
        given = getattr(self._settings, variable.lower())
        if given is not None:
            async with self._step(name, f"as {variable} says"):
                try:
                    await answers(given)
                except (OSError, ReelstreamError) as error:
                    raise ReelstreamError(
                        f"{variable} is set, but what it names can't be used: {error}. Start that service, or unset "
                        f"{variable} to have one started here."
                    ) from None
            self._environment[variable] = given
            return
        port = free_port()
        async with self._step(name, f"port {port}"):
            # In a thread: PostgreSQL's first start makes a data directory, a second or two.
            prepared = await asyncio.to_thread(child, port)
            await self.supervisor.start(prepared, after_restart=after_restart)
        self._environment[variable] = address(port)

    async def _create_topics(self) -> None:
        address = self._environment["KAFKA_BOOTSTRAP_SERVERS"]
        await create_topics(self._settings.model_copy(update={"kafka_bootstrap_servers": address}))

    async def _broker_is_back(self) -> None:
        """The embedded broker forgets its log when it dies, and with it topics and consumer groups."""
        await self._create_topics()
        await asyncio.gather(*(self.supervisor.restart(f"worker-{role}") for role in ROLES))
        self._say("broker: its log is in memory, so it came back empty; topics made again, workers restarted")

    @contextlib.asynccontextmanager
    async def _step(self, name: str, detail: str = "") -> AsyncIterator[None]:
        began = time.monotonic()
        yield
        self._say(f"  {name:<12}{time.monotonic() - began:5.1f} s  {detail}".rstrip())

    async def _caught_up(self, timeout: float) -> bool:
        """Waits until every worker has beaten since now with nothing left to apply; False when time is up."""
        asked = time.time() + 0.25  # a message counts as lag once it is fetched: 10 ms with the embedded broker
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    with contextlib.suppress(ReelstreamError):  # Valkey may be on its way back
                        beats = await parts.heartbeats(self._environment["REDIS_URL"])
                        done = all(at > asked and not any(beat.lag.values()) for beat, at in beats)
                        if done and {beat.role for beat, _ in beats}.issuperset(ROLES):
                            return True
                    await asyncio.sleep(0.1)
        return False

    async def stop(self) -> None:
        """What asks first, then what applies, then what stores."""
        deadline = time.monotonic() + STOP_SECONDS
        await self.supervisor.stop("tail", "replay", "trainer", "api", grace=1.5)
        forgets = self._settings.kafka_bootstrap_servers is None  # the embedded broker's log is in memory
        wait = forgets and self._applying and not self.supervisor.failure.done()
        if wait and not await self._caught_up(DRAIN_SECONDS):
            self._say("the workers did not catch up in time: events of the last moments may be lost")
        await self.supervisor.stop(*(f"worker-{role}" for role in ROLES), grace=2)
        for service in ("broker", "valkey", "postgres"):
            await self.supervisor.stop(service, grace=max(0.5, deadline - time.monotonic()))
        (self._state / "services.json").unlink(missing_ok=True)
