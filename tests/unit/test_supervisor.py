"""The supervisor, with real small processes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reelstream.child import Child
from reelstream.supervisor import Supervisor
from schemas.errors import ReelstreamError

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


class Running:
    """A supervisor, the lines it said, and the folder its children write in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.supervisor = Supervisor(folder, self.said.append, first_delay=0.1)

    async def starts(self, name: str, count: int) -> list[int]:
        """Waits until a child that notes its pid has been started `count` times; its pids."""
        path = self.folder / f"{name}.pids"
        while True:
            pids = [int(line) for line in path.read_text().splitlines()] if path.exists() else []
            if len(pids) >= count:
                return pids
            await asyncio.sleep(0.02)

    def noting(self, name: str, then: str, **options: object) -> Child:
        """A child that notes its pid and then does something."""
        code = (
            f"import os, sys, time; print(os.getpid(), file=open({str(self.folder / name)!r} + '.pids', 'a')); {then}"
        )
        return Child(name=name, command=[sys.executable, "-c", code], **options)  # type: ignore[arg-type]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path)
    yield running
    await running.supervisor.stop_all(grace=1)
    if running.supervisor.failure.done():
        running.supervisor.failure.exception()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    while alive(pid):
        await asyncio.sleep(0.02)


async def test_a_killed_child_is_started_again_and_a_line_says_so(running: Running) -> None:
    await running.supervisor.start(running.noting("part", "time.sleep(600)"))
    [first] = await running.starts("part", 1)
    os.kill(first, signal.SIGKILL)
    pids = await running.starts("part", 2)
    assert not alive(first)
    assert alive(pids[1])
    assert running.said == ["part was killed by SIGKILL; starting it again in 0.1 s"]


async def test_a_child_that_keeps_dying_fails_with_the_last_lines_of_its_log(running: Running) -> None:
    say = "[print('line', n) for n in range(40)]; sys.exit(7)"
    await running.supervisor.start(running.noting("part", say))
    with pytest.raises(ReelstreamError) as raised:
        await running.supervisor.failure
    message = str(raised.value)
    assert "part ended with exit status 7 for the 5th time within 60 s" in message
    assert [line.strip() for line in message.splitlines()[-15:]] == [f"line {n}" for n in range(25, 40)]
    assert len(await running.starts("part", 5)) == 5
    assert [line.split(" in ")[1] for line in running.said] == ["0.1 s", "0.2 s", "0.4 s", "0.8 s"]


async def test_starting_a_child_that_dies_before_it_is_ready_fails(running: Running) -> None:
    async def never() -> None:
        raise ReelstreamError("not yet")

    with pytest.raises(ReelstreamError, match="part"):
        await running.supervisor.start(running.noting("part", "sys.exit('no room')", ready=never))
    assert running.supervisor.failure.done()


async def test_a_child_that_is_never_ready_is_reported_with_its_last_answer(running: Running) -> None:
    async def never() -> None:
        raise ReelstreamError("the door is shut")

    with pytest.raises(ReelstreamError, match="the door is shut"):
        await running.supervisor.start(Child(name="part", command=SLEEPER, ready=never), timeout=0.3)


async def test_after_a_restart_the_hook_runs_once_the_child_is_ready(running: Running) -> None:
    hooked = asyncio.Event()
    asked = 0

    async def second_time() -> None:
        nonlocal asked
        asked += 1
        if asked % 2:
            raise ReelstreamError("not yet")

    async def hook() -> None:
        hooked.set()

    await running.supervisor.start(running.noting("part", "time.sleep(600)", ready=second_time), after_restart=hook)
    assert not hooked.is_set()
    [pid] = await running.starts("part", 1)
    os.kill(pid, signal.SIGKILL)
    await hooked.wait()
    assert asked == 4


async def test_a_hook_that_fails_ends_everything(running: Running) -> None:
    async def hook() -> None:
        raise ReelstreamError("no topics")

    await running.supervisor.start(running.noting("part", "time.sleep(600)"), after_restart=hook)
    [pid] = await running.starts("part", 1)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ReelstreamError, match="no topics"):
        await running.supervisor.failure


async def test_a_child_with_one_job_is_not_started_again(running: Running) -> None:
    await running.supervisor.start(running.noting("job", "sys.exit(3)", ends=True))
    assert await running.supervisor.finished("job") == 3
    assert running.said == []


async def test_restart_gives_a_new_process_and_counts_no_death(running: Running) -> None:
    await running.supervisor.start(running.noting("part", "time.sleep(600)"))
    [first] = await running.starts("part", 1)
    await running.supervisor.restart("part")
    pids = await running.starts("part", 2)
    assert not alive(first)
    assert alive(pids[1])
    assert running.said == []


async def test_stop_kills_what_ignores_its_signal_and_what_it_left_behind(running: Running) -> None:
    stubborn = (
        "import signal, subprocess; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"print(p.pid, file=open({str(running.folder / 'part')!r} + '.pids', 'a')); time.sleep(600)"
    )
    await running.supervisor.start(running.noting("part", stubborn))
    pids = await running.starts("part", 2)
    await running.supervisor.stop("part", grace=0.3)
    for pid in pids:
        await gone(pid)
    assert running.said == []


async def test_children_are_stopped_newest_first(running: Running) -> None:
    order = running.folder / "order"
    for name in ("broker", "worker"):
        on_term = (
            f"import signal; say = lambda: print({name!r}, file=open({str(order)!r}, 'a')); "
            "signal.signal(15, lambda *a: (say(), sys.exit())); "
            f"open({str(running.folder / name)!r} + '.pids', 'a').write('0\\n'); time.sleep(600)"
        )
        await running.supervisor.start(running.noting(name, on_term))
        await running.starts(name, 2)
    await running.supervisor.stop_all(grace=5)
    assert order.read_text().split() == ["worker", "broker"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can end a child with its parent")
async def test_children_do_not_survive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from reelstream.child import Child; "
        "from reelstream.supervisor import Supervisor\n"
        "async def main():\n"
        "    supervisor = Supervisor(Path(sys.argv[1]), print)\n"
        "    await supervisor.start(Child(name='part', command=[sys.executable, '-c', "
        "'import os, time; print(os.getpid(), flush=True); time.sleep(600)']))\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(tmp_path))
    log = tmp_path / "part.log"
    while not (log.exists() and log.read_text().strip()):
        await asyncio.sleep(0.02)
    pid = int(log.read_text())
    assert alive(pid)
    parent.kill()
    await parent.wait()
    await gone(pid)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="only Linux groups processes by session")
async def test_a_low_priority_counts_against_other_sessions_too(running: Running) -> None:
    for number in range(3):
        await running.supervisor.start(running.noting(f"low{number}", "time.sleep(600)", nice=7))
        (pid,) = await running.starts(f"low{number}", 1)
        priority = os.getpriority(os.PRIO_PROCESS, pid)
        assert priority == os.getpriority(os.PRIO_PROCESS, 0) + 7
        assert priority_of_session(pid) == priority


def priority_of_session(pid: int) -> int:
    return int(Path(f"/proc/{pid}/autogroup").read_text().split()[-1])
