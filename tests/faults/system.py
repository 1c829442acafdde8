"""The system under test: Apache Kafka, Valkey, PostgreSQL, workers and API as processes to be killed and frozen."""

import asyncio
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from reelstream import parts
from reelstream.child import Child, free_port, free_port_pair, until_ready
from reelstream.embedded import broker, postgres, valkey
from reelstream.topics import create_topics
from schemas.heartbeat import ROLES, Heartbeat
from schemas.migrate import migrate
from schemas.settings import Settings

KAFKA = Path(__file__).parents[3] / "shared" / "kafka" / "kafka"
"""Where a development checkout has one. A broker of somebody else's can't be killed."""
PARTITIONS = 4
READY_SECONDS = 90.0
Say = Callable[[str], None]


class Process:
    """One program of the system. `lock`: held by the fault that has it in hand; the supervisor keeps off meanwhile."""

    def __init__(self, child: Child, log: Path) -> None:
        self.child = child
        self.log = log
        self.lock = asyncio.Lock()
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None, f"{self.child.name} was never started"
        return self._running.pid

    @property
    def ended(self) -> int | None:
        """The exit status; None while it runs."""
        assert self._running is not None, f"{self.child.name} was never started"
        return self._running.poll()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._running = subprocess.Popen(
                self.child.command, stdout=output, stderr=output, **self.child.popen_arguments()
            )

    async def ready(self) -> None:
        """Raises ReelstreamError when it does not serve after READY_SECONDS."""
        await until_ready(self.child, READY_SECONDS)

    def kill(self) -> None:
        self._signal_all(signal.SIGKILL)
        if self._running is not None:
            self._running.wait()

    def freeze(self) -> None:
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    async def stop(self, seconds: float = 30.0) -> None:
        """Asks it to leave, and kills it when it does not within `seconds`."""
        if self._running is None or self.ended is not None:
            return
        self._running.send_signal(self.child.stop_signal)
        deadline = time.monotonic() + seconds
        while self.ended is None and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        self.kill()

    def _signal_all(self, number: signal.Signals) -> None:
        """The process first, so that it starts no more children; PostgreSQL's are not even in its group."""
        if self._running is None or self.ended is not None:
            return
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self._running.pid)
            children = own.children(recursive=True)
            own.send_signal(number)
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.send_signal(number)

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:]) if self.log.exists() else ""


class System:
    """All processes by name: `kafka`, `valkey`, `postgres`, `api`, `learn-N`, `models-N`, `record-N`.

    ended: how often a process ended without a fault's doing, by name and exit status.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self._say = say
        self.processes: dict[str, Process] = {}
        self.ended: Counter[str] = Counter()
        self._kafka_port, redis_port, postgres_port, self._api_port = (
            free_port_pair(),
            free_port(),
            free_port(),
            free_port(),
        )
        self.brokers = broker.address(self._kafka_port)
        self.redis_url = valkey.address(redis_port)
        self.database_url = postgres.address(postgres_port)
        self.api_url = f"http://127.0.0.1:{self._api_port}"
        self._services = (
            Child(
                name="kafka",
                command=[str(KAFKA), "run", "--port", str(self._kafka_port), "--data", str(folder / "kafka")],
                ready=lambda: broker.answers_at(self._kafka_port),
            ),
            valkey.child(folder, redis_port),
            postgres.child(folder, postgres_port),
        )

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.brokers, "REDIS_URL": self.redis_url, "DATABASE_URL": self.database_url,
            "KAFKA_PARTITIONS": str(PARTITIONS), "MODEL_PATH": str(self.folder / "models"),
        }  # fmt: skip

    async def start_services(self) -> None:
        """The three services with topics and tables."""
        for child in self._services:
            self.add(child)
        for name in ("kafka", "valkey", "postgres"):
            await self.processes[name].ready()
        await create_topics(Settings(kafka_bootstrap_servers=self.brokers, kafka_partitions=PARTITIONS))
        await migrate(self.database_url)

    async def start_ours(self) -> None:
        """A worker of each role and the API; returns when all serve."""
        workers = [self.add_worker(role, 0) for role in ROLES]
        api = self.add(parts.api(self._api_port, self.environment))
        for process in (*workers, api):
            await process.ready()

    def add(self, child: Child) -> Process:
        process = self.processes[child.name] = Process(child, self.folder / f"{child.name}.log")
        process.start()
        return process

    def add_worker(self, role: str, slot: int) -> Process:
        worker = parts.worker(role, slot, self.environment, self.redis_url, time.time())
        return self.add(replace(worker, name=f"{role}-{slot}"))

    async def supervise(self) -> None:
        """Starts again what ended without a fault's doing. Runs until cancelled."""
        while True:
            await asyncio.sleep(0.3)
            for name, process in list(self.processes.items()):
                if not process.lock.locked() and (status := process.ended) is not None:
                    self._say(f"{name} ended by itself with {status}, started again")
                    self.ended[f"{name}: {status}"] += 1
                    process.start()

    async def heartbeats(self) -> list[Heartbeat]:
        """Raises ReelstreamError when Redis does not answer."""
        return [beat for beat, _ in await parts.heartbeats(self.redis_url)]

    async def stop(self) -> None:
        """Everything, ours first; nothing is left behind."""
        for process in self.processes.values():
            process.thaw()
        services = {child.name for child in self._services}
        ours = [process for name, process in self.processes.items() if name not in services]
        await asyncio.gather(*(process.stop(25) for process in ours))
        await asyncio.gather(*(self.processes[name].stop(10) for name in services if name in self.processes))
